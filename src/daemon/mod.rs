//! The running process and its files.

pub mod files;

//! What others read: `/metrics`, the API and the pages.

pub mod exposition;
pub mod negotiate;

//! What it costs to hold many applications against a platform.
//!
//! `cargo bench --bench fit [SERVICES [APPLICATIONS]]`, 200 and 1,000 unless told otherwise.

#[path = "support/fit.rs"]
mod fit;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let n_services = args.next().unwrap_or(200);
    let n_applications = args.next().unwrap_or(1_000);
    fit::measure(fit::Size { n_services, n_applications });
}

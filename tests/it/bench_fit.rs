//! The benchmark of fit, small: every application is judged by every gate. Asserts no times.

#[path = "../../benches/support/fit.rs"]
mod fit;

#[test]
fn every_application_of_a_layered_platform_is_judged_by_every_gate() {
    fit::measure(fit::Size { n_services: 20, n_applications: 30 });
}

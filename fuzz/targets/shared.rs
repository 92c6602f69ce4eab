//! What the targets share: a catalog out of a spec text, and the check of an HTTP probe.

use nines::model::Catalog;
use nines::model::check::{Check, HttpCheck};
use nines::spec::{Options, SourceFile, load};
use tokio::runtime::{Builder, Runtime};

/// One service with an HTTP probe that expects something of every part of the answer.
pub const SPECS: &str = r#"
apiVersion: nines/v1
kind: Service
metadata: {name: svc, labels: {team: t}}
spec:
  probes:
    - name: p
      http:
        url: "http://target.example/path"
        expect: {status: [200-299], headers: {X-A: ok}, body: {contains: ok}}
        maxBody: 64KiB
      interval: 1s
  slos:
    - {name: availability, objective: 99.9%, window: 30d}
    - {name: latency, latency: {under: 100ms}, objective: 99%, window: 7d}
"#;

/// The catalog of [`SPECS`].
pub fn catalog() -> Catalog {
    let content = SPECS.as_bytes().to_vec();
    let file = SourceFile { path: "a.yaml".into(), root: "".into(), content };
    load(&[file], &Options::default()).expect("valid specs").catalog
}

/// The HTTP probe of [`SPECS`].
pub fn http_check() -> HttpCheck {
    let catalog = catalog();
    let probe = catalog.probes().next().expect("there is one");
    match &probe.check {
        Check::Http(check) => check.clone(),
        other => panic!("no HTTP probe: {other:?}"),
    }
}

/// A runtime whose time costs none.
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

//! The benchmark of fit: a platform in layers that share leaves, and applications of all kinds.

use std::fmt::Write as _;
use std::time::Duration;

use nines::engine::fit::{self, Answer, Ground};
use nines::model::Catalog;
use nines::spec::{Options, SourceFile, load};
use tokio::time::Instant;

/// How large the platform is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub n_services: usize,
    pub n_applications: usize,
}

/// Services in three layers: each of the upper ones needs three of the layer below, so that
/// leaves are shared by many ways.
fn specs(size: Size) -> String {
    let mut text = String::from(
        "apiVersion: nines/v1\nkind: SupportTier\nmetadata: {name: always}\n\
         spec: {hours: 24x7, acknowledge: 5m, repair: 20m}\n",
    );
    let leaves = (size.n_services / 5).max(3);
    let middle = leaves + size.n_services * 2 / 5;
    for n in 0..size.n_services {
        let below = match n {
            n if n < leaves => 0..0,
            n if n < middle => 0..leaves,
            _ => leaves..middle,
        };
        let needs = (0..3).filter(|_| !below.is_empty()).map(|k| {
            let one = below.start + (n * 7 + k * 13) % below.len();
            format!("    - service: s{one}\n")
        });
        let needs: std::collections::BTreeSet<String> = needs.collect();
        let needs: String = needs.into_iter().collect();
        let depends =
            if needs.is_empty() { String::new() } else { format!("  dependsOn:\n{needs}") };
        let objective = ["99.9%", "99.95%", "99.99%", "99.999%"][n % 4];
        write!(
            text,
            "---\napiVersion: nines/v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec:\n  \
             support: always\n{depends}  probes:\n    - {{name: p, tcp: {{address: \
             \"127.0.0.1:{port}\"}}, interval: 1s, timeout: 500ms}}\n  slos:\n    - {{name: \
             availability, objective: {objective}, window: 30d}}\n",
            port = 1_000 + n,
        )
        .expect("a String takes everything");
    }
    for n in 0..size.n_applications {
        let one = |k: usize| (n * 11 + k * 17) % size.n_services;
        let objective = ["99%", "99.9%", "99.95%", "99.99%", "99.999%"][n % 5];
        write!(
            text,
            "---\napiVersion: nines/v1\nkind: Application\nmetadata: {{name: a{n}}}\nspec:\n  \
             needs: {{objective: {objective}, window: 30d}}\n  reserve: 50%\n  support: {{hours: \
             24x7, acknowledge: 5m, repair: 20m}}\n  dependsOn:\n    - service: s{a}\n    - \
             {{service: s{b}, impact: soft}}\n    - {{need: 1, of: [{{service: s{c}}}, {{service: \
             s{d}}}], commonCause: 2%}}\n",
            a = one(0),
            b = one(1),
            c = one(2),
            d = one(3),
        )
        .expect("a String takes everything");
    }
    text
}

fn catalog(size: Size) -> Catalog {
    let content = specs(size).into_bytes();
    let file = SourceFile { path: "platform.yaml".into(), root: "".into(), content };
    let loaded = load(&[file], &Options::default());
    loaded.unwrap_or_else(|problems| panic!("{}", problems[0].render(false))).catalog
}

/// Judges every application by every gate, with an offer for each.
pub fn measure(size: Size) -> Duration {
    let started = Instant::now();
    let catalog = catalog(size);
    let read = started.elapsed();
    assert_eq!(catalog.services.len(), size.n_services);
    let started = Instant::now();
    let ground = Ground::new(&catalog, &|_| None);
    let fits = fit::assess_all(&ground);
    let took = started.elapsed();
    assert_eq!(fits.len(), size.n_applications);
    assert!(fits.iter().all(|fit| fit.findings.len() == 10 && fit.composed.is_some()));
    let failed = fits.iter().filter(|fit| fit.answer() == Answer::Fail).count();
    let offered = fits.iter().filter(|fit| fit.offer.is_some()).count();
    println!(
        "fit of {} services and {} applications: {took:.2?} ({failed} do not fit, {offered} are \
         offered something); reading them took {read:.2?}",
        size.n_services, size.n_applications
    );
    took
}

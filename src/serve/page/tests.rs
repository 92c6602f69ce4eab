//! What people see.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;

use super::home::{Filter, Home};
use super::method::MethodPage;
use super::service::ServicePage;
use super::slo::SloPage;
use super::status::StatusPage;
use super::team::TeamPage;
use crate::engine::Engine;
use crate::engine::isolation::Sight;
use crate::serve::exposition::Exposition;
use crate::serve::fit::Snapshot;
use crate::serve::fixture::{self, NOW};
use crate::serve::own::{LedgerState, OwnReading, SelfMetrics};
use crate::serve::site::{Load, Readiness, ReloadFailure};

const LOADED: Load = Load { success_at: NOW, failure: None };

fn page(engine: &Engine, team: &str, state: &str) -> String {
    let filter = Filter { team: team.to_owned(), state: state.to_owned() };
    Home::of(engine, filter, &LOADED, NOW).render().expect("a page")
}

#[test]
fn a_refused_reload_is_told_on_top_until_one_succeeds() {
    let engine = fixture::platform();
    let problems = (0..9).map(|n| format!("a.yaml:{n}: <wrong>")).collect();
    let failure = Some(ReloadFailure::Refused(problems).into());
    let load = Load { success_at: NOW, failure };
    let page = |load| Home::of(&engine, Filter::default(), load, NOW).render().expect("a page");
    let told = page(&load);
    let banner = between(&told, "role=\"alert\"", "</section>");
    assert!(banner.contains("<li>a.yaml:0: &#60;wrong&#62;</li>"), "{banner}");
    assert_eq!(banner.matches("<li>").count(), 5, "the log has the rest");
    assert!(!page(&LOADED).contains("role=\"alert\""));
}

fn headline(engine: &Engine) -> String {
    between(&page(engine, "", ""), "aria-live=\"polite\">", "</h1>").to_owned()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).expect("the start").1;
    rest.split_once(end).expect("the end").0
}

/// The names of the services in the order in which they are shown.
fn services(html: &str) -> Vec<&str> {
    html.split("<h2 id=\"service-")
        .skip(1)
        .map(|rest| rest.split_once('"').expect("an id").0)
        .collect()
}

#[test]
fn the_headline_says_what_is_wrong_and_how_long_is_left() {
    let check = |engine: &Engine, expect: &str| assert_eq!(headline(engine), expect);
    check(
        &fixture::platform(),
        "1 of 6 services is outside its objectives; artifact-registry/availability is burning \
         66.7x and has 49 min left; ingress and object-store have no data.",
    );
    check(&fixture::engine(Vec::new()), "No service has an objective yet.");
    let service = |name, slos| fixture::service(name, "t", "http://a.example/", slos);
    check(&fixture::engine(vec![service("a", &[])]), "No service has an objective yet.");
    let slos: &[_] = &[("s", "99%", None)];
    check(&fixture::engine(vec![service("a", slos)]), "The only service has no data.");
    let mut all = fixture::engine(vec![service("a", slos), service("b", slos), service("c", &[])]);
    check(&all, "None of the 2 services has data.");
    fixture::observe_all(&mut all);
    check(&all, "All 2 services are within their objectives.");
}

#[test]
fn a_monitor_that_sees_nothing_says_so_and_since_when() {
    let mut engine = fixture::platform();
    assert!(!page(&engine, "", "").contains("id=\"blind\""));
    engine.see(Sight::CutOff(NOW.minus(Duration::from_secs(90))));
    let html = page(&engine, "", "");
    let banner = between(&html, "<p id=\"blind\" role=\"alert\">", "</p>");
    assert!(banner.contains("cut off: no reference has answered since"), "{banner}");
}

#[test]
fn services_are_shown_worst_first_and_filtered() {
    let engine = fixture::platform();
    let all = page(&engine, "", "");
    let worst_first =
        ["postgres", "artifact-registry", "ci-runners", "ingress", "object-store", "dns"];
    assert_eq!(services(&all), worst_first);
    assert_eq!(services(&page(&engine, "platform-net", "")), ["ingress", "dns"]);
    assert_eq!(services(&page(&engine, "", "burning")), ["artifact-registry"]);
    assert_eq!(services(&page(&engine, "platform-net", "no-data")), ["ingress"]);
    assert!(page(&engine, "nobody", "").contains("No service is like that"));
    let refused = Filter { team: String::new(), state: "green".to_owned() }.check();
    assert!(refused.expect_err("no such state").detail.contains("no-data"));
}

#[test]
fn numbers_stand_with_their_budget_and_coverage() {
    let html = page(&fixture::platform(), "", "burning-fast");
    for part in [
        "99.9953 %",
        "24 bad of 518\u{202f}400",
        "coverage 100 %",
        "90.74 %",
        "19 min 36 s of 21 min 36 s",
        "66.7x",
        "for <time",
        ", paging",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let missed = page(&fixture::platform(), "", "missed");
    assert!(missed.contains("16 min 48 s over a budget of 43 min 12 s"));
}

#[test]
fn no_data_is_never_green() {
    let html = page(&fixture::platform(), "", "no-data");
    let listed = between(&html, "<div id=\"content\">", "</main>");
    assert!(listed.contains("class=\"badge no-data\"") && !listed.contains("meeting"), "{listed}");
    assert!(listed.contains("last data"), "{listed}");
}

#[test]
fn one_slo_is_explained_now_and_at_the_moment_of_its_alert() {
    let engine = fixture::platform();
    let page =
        |id: &str, at| SloPage::of(&engine, id, at, NOW).map(|p| p.render().expect("a page"));
    let now = page("artifact-registry/availability", None).expect("declared");
    for part in [
        "Burning fast",
        "99.9953 %",
        "1h/5m",
        "66.7x",
        "14.4x",
        "0.93x",
        ">fires<",
        "518\u{202f}376",
    ] {
        assert!(now.contains(part), "{part}");
    }
    assert!(now.contains("with 95 % confidence 99.9254342 % is supported"), "{now}");
    let then = NOW.minus(std::time::Duration::from_secs(600));
    let then = page("artifact-registry/availability", Some(then)).expect("declared");
    assert!(then.contains("Meeting objective") && then.contains("As it stood at"));
    assert!(!then.contains(">fires<"));
    let silent = page("object-store/availability", None).expect("declared");
    assert!(silent.contains("No data") && silent.contains("Nothing has been evaluated yet"));
    assert!(page("a/b", None).is_none());
    for html in [now, then, silent] {
        assert_eq!(html.matches("<svg").count(), html.matches("aria-hidden=\"true\"").count());
        assert!(!html.contains("style="));
    }
}

#[test]
fn what_specs_say_cannot_become_markup() {
    let mut service =
        fixture::service("a", "<script>x</script>", "http://a.example/", &[("s", "99%", None)]);
    service.display_name = Some("<img src=x>".to_owned());
    service.links.insert("evil".to_owned(), "javascript:alert(1)".to_owned());
    service.links.insert("good".to_owned(), "https://a.example/?\"><b>".to_owned());
    let html = page(&fixture::engine(vec![service]), "", "");
    for bad in ["<script>x", "<img", "javascript:", "\"><b>"] {
        assert!(!html.contains(bad), "{bad}");
    }
    assert!(html.contains(">good</a>"));
}

#[test]
fn every_page_has_the_bones_that_screen_readers_need() {
    let held = fixture::held(fixture::platform());
    let (engine, site) = (held.site.engine(), &held.site);
    let slo = SloPage::of(&engine, "postgres/availability", None, NOW).expect("an SLO");
    let team = TeamPage::of(&engine, &Snapshot::of(site), "platform-net", NOW).expect("a team");
    let method = MethodPage::of(engine.catalog(), &site.settings.load());
    check_bones(&page(&engine, "", ""));
    check_bones(&service_page(&engine, "postgres", Some(&serde_json::json!({}))));
    check_bones(&slo.render().expect("a page"));
    check_bones(&team.render().expect("a page"));
    check_bones(&method.render().expect("a page"));
    check_bones(&StatusPage::of(site).render().expect("a page"));
}

#[track_caller]
fn check_bones(html: &str) {
    let count = |part: &str| html.matches(part).count();
    for once in ["<html lang=\"en\">", "<main>", "<header>", "<footer>", "<h1 ", "class=\"skip\""] {
        assert_eq!(count(once), 1, "{once}");
    }
    // The script that refreshes a page looks for these.
    for once in ["<section id=\"standing\"", "<div id=\"content\"", "class=\"facts\""] {
        assert!(html.contains(once), "{once}");
    }
    assert_eq!(count("<table"), count("<caption"));
    assert_eq!(count("<th "), count("scope="));
    let is_hidden = |svg: &str| svg.split('>').next().unwrap_or_default().contains("aria-hidden");
    assert!(html.split("<svg").skip(1).all(is_hidden), "an svg that is read out");
    let ids: Vec<&str> = after(html, " id=\"");
    let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len(), "an id stands twice: {ids:?}");
    for labelled in after(html, "aria-labelledby=\"") {
        assert!(distinct.contains(labelled), "nothing is called {labelled}");
    }
    assert!(!html.contains("style=") && !html.contains("onclick"), "the policy forbids these");
    assert!(!html.contains("http-equiv"));
}

/// What stands in quotes after each of these.
fn after<'a>(html: &'a str, start: &str) -> Vec<&'a str> {
    html.split(start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_text_has_enough_contrast_in_light_and_dark() {
    let css = include_str!("nines.css");
    let light = colours(between(css, ":root {", "}"));
    let dark = colours(between(css, "@media (prefers-color-scheme: dark) {\n  :root {", "}"));
    assert!(light.len() == 19 && dark.len() == 19, "{} {}", light.len(), dark.len());
    for colours in [light, dark] {
        let check = |text: &str, ground: &str| {
            let ratio = contrast(colours[text], colours[ground]);
            // WCAG 2.2, 1.4.3.
            assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
        };
        for text in ["ink", "soft", "link", "burning-slow", "missed"] {
            check(text, "card");
            check(text, "paper");
        }
        for condition in crate::serve::condition::Condition::OF_SLO {
            let slug = condition.slug();
            check(slug, &format!("{slug}-tint"));
            check(slug, "card");
        }
    }
}

/// The custom properties that are colours.
fn colours(block: &str) -> BTreeMap<&str, [u8; 3]> {
    let declarations =
        block.split(';').filter_map(|d| d.trim().strip_prefix("--")?.split_once(": #"));
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    declarations.map(|(name, hex)| (name, [byte(hex, 0), byte(hex, 2), byte(hex, 4)])).collect()
}

/// The contrast ratio of WCAG 2.2.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let channel = |c: u8| match f64::from(c) / 255.0 {
        c if c <= 0.04045 => c / 12.92,
        c => ((c + 0.055) / 1.055).powf(2.4),
    };
    let luminance =
        |[r, g, b]: [u8; 3]| 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// What is shown of a service, and of those that it is related to.
fn service_page(engine: &Engine, name: &str, incidents: Option<&serde_json::Value>) -> String {
    ServicePage::of(engine, name, incidents, NOW).expect("a service").render().expect("a page")
}

#[test]
fn a_service_shows_its_objectives_probes_and_relations() {
    let mut registry = fixture::service(
        "registry",
        "build",
        "http://r.example/",
        &[("availability", "99.9%", None), ("latency", "99%", Some(300))],
    );
    let on = |name: &str, impact| crate::model::catalog::Dependency {
        need: 1,
        of: vec![name.parse().expect("a name")],
        impact,
        common_cause_ppb: None,
    };
    registry.depends_on = vec![on("store", crate::model::catalog::Impact::Soft)];
    let store = fixture::service("store", "data", "http://s.example/", &[("s", "99%", None)]);
    let mut engine = fixture::engine(vec![registry, store]);
    fixture::observe_all(&mut engine);
    let html = service_page(&engine, "registry", None);
    for part in [
        "<a href=\"../slo/registry/latency\">",
        "http://r.example/",
        "<a href=\"../service/store\">store</a>",
        "goes on with less",
        "<a href=\"../team/build\">build</a>",
        "History cannot be read",
        "in 90 d",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let none = serde_json::json!({ "incidents": [] });
    let html = service_page(&engine, "store", Some(&none));
    assert!(
        html.contains("service that needs this") && html.contains("<p class=\"nothing\">None.</p>")
    );
    assert!(html.contains("<a href=\"../service/registry\">registry</a>"), "{html}");
    assert!(ServicePage::of(&engine, "nobody", None, NOW).is_none());
}

#[test]
fn a_service_without_data_is_not_green() {
    let html = service_page(&fixture::platform(), "object-store", None);
    assert!(html.contains("badge no-data") && !html.contains("badge meeting"), "{html}");
    let missed = service_page(&fixture::platform(), "postgres", None);
    assert!(missed.contains("<section id=\"standing\" class=\"missed\""), "{missed}");
}

#[test]
fn a_team_shows_what_it_owns_and_nothing_else() {
    let held = fixture::held(fixture::platform());
    let snapshot = Snapshot::of(&held.site);
    let engine = held.site.engine();
    let page = |team| TeamPage::of(&engine, &snapshot, team, NOW);
    let html = page("platform-net").expect("a team").render().expect("a page");
    assert_eq!(services(&html), ["ingress", "dns"]);
    assert!(
        between(&html, "<h1 id=\"headline\">", "</h1>").contains("ingress has no data"),
        "{html}"
    );
    let problem = page("nobody").expect_err("no such team");
    assert!(problem.detail.contains("platform-build, platform-data, platform-net"), "{problem:?}");
}

#[test]
fn the_method_is_told_with_the_values_that_are_in_force() {
    let engine = fixture::platform();
    let settings = crate::model::Settings::default();
    let page = |settings: &crate::model::Settings| {
        MethodPage::of(engine.catalog(), settings).render().expect("a page")
    };
    let html = page(&settings);
    for part in [
        "Probes run from local, each on its own fixed grid, every 5 s, with 2 s to answer",
        "Reasons: dns, connect, tls,",
        "where an objective sets a latency (1 of 7 do)",
        "for 7 of 7 objectives they do not count. ",
        "99.999 %</th><td data-label=\"Over\">30 d</td><td data-label=\"Budget\"><span class=\"figure\">25.92 s",
        "Policy workbook, of 7 objectives",
        "<th scope=\"row\">1h/5m</th><td data-label=\"Tells\">page</td>",
        "14.4x",
        "nobody is told",
        "No reference is configured",
        "kept for 400 d",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let alertmanagers = vec!["http://am.example".to_owned()];
    let html = page(&crate::model::Settings { alertmanagers, ..settings.clone() });
    assert!(
        html.contains("Alerts go from here to an Alertmanager, and again every 1 min"),
        "{html}"
    );
}

/// A monitor whose ledger stands like this.
struct Keeping(LedgerState);

impl SelfMetrics for Keeping {
    fn write(&self, _: &mut Exposition) {}

    fn reading(&self) -> OwnReading {
        OwnReading { ledger: self.0.clone(), ..OwnReading::default() }
    }
}

#[test]
fn the_status_says_what_is_wrong_with_the_monitor_itself() {
    let held = fixture::held(fixture::platform());
    let mut site = held.site.clone();
    let page = |site: &crate::serve::Site| StatusPage::of(site).render().expect("a page");
    let standing = |html: &str| between(html, "<section id=\"standing\"", "</section>").to_owned();
    // Nothing is ready yet.
    let html = standing(&page(&site));
    assert!(
        html.contains("class=\"missed\"") && html.contains("not ready: history is read"),
        "{html}"
    );
    held.ready.send_replace(Readiness::Ready);
    let html = standing(&page(&site));
    assert!(html.contains("class=\"meeting\"") && html.contains("does its work"), "{html}");
    let failure = Some(ReloadFailure::Refused(vec!["a.yaml:1: <wrong>".to_owned()]).into());
    let (sender, load) = tokio::sync::watch::channel(Load { success_at: NOW, failure });
    site.load = load;
    let html = page(&site);
    assert!(standing(&html).contains("class=\"burning-slow\""), "{html}");
    assert!(html.contains("<li>a.yaml:1: &#60;wrong&#62;</li>"), "{html}");
    drop(sender);
    let failing =
        LedgerState { failing: Some("no space left".to_owned()), ..LedgerState::default() };
    site.own = std::sync::Arc::new(Keeping(failing));
    assert!(page(&site).contains("no space left"));
    // Blindness is worse than anything else.
    let mut engine = fixture::platform();
    engine.see(Sight::CutOff(NOW.minus(Duration::from_secs(90))));
    site.engine = std::sync::Arc::new(std::sync::RwLock::new(engine));
    let html = standing(&page(&site));
    assert!(html.contains("class=\"missed\"") && html.contains("is cut off"), "{html}");
}

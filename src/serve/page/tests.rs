//! What people see.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;

use super::home::{Filter, Home};
use super::slo::SloPage;
use crate::engine::Engine;
use crate::engine::isolation::Sight;
use crate::serve::fixture::{self, NOW};
use crate::serve::site::{Load, ReloadFailure};

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
    html.split("<h2 id=\"").skip(1).map(|rest| rest.split_once('"').expect("an id").0).collect()
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
fn the_page_has_the_bones_that_screen_readers_need() {
    let html = page(&fixture::platform(), "", "");
    let count = |part: &str| html.matches(part).count();
    for once in ["<html lang=\"en\">", "<main>", "<header>", "<footer>", "<h1 ", "class=\"skip\""] {
        assert_eq!(count(once), 1, "{once}");
    }
    assert_eq!(count("<table>"), count("<caption"));
    assert_eq!(count("<svg"), count("aria-hidden=\"true\""), "an svg that is read out");
    assert_eq!(count("scope=\"col\""), 6 * count("<table>"));
    assert!(!html.contains("style=") && !html.contains("onclick"), "the policy forbids these");
    assert!(!html.contains("http-equiv"));
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

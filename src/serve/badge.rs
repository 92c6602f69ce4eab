//! How one SLO stands, small enough for a README: as an SVG and for shields.io.
//!
//! Says the condition in words and the budget that is left; a percentage would need more beside
//! it than a badge has room for, and stands in the title with all of that. Never green unless
//! something was measured just now.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::model::{Timestamp, number};

use super::api;
use super::condition::Condition;
use super::page::SloView;
use super::problem::Problem;
use super::routes::Shared;

/// How long others may show it unasked.
const CACHING: &str = "public, max-age=30";

/// The size of the letters, and the space beside a text, in pixels.
const LETTERS: u32 = 11;
const MARGIN: u32 = 7;

/// What a badge says.
#[derive(Debug, PartialEq, Eq)]
pub struct Badge {
    label: String,
    message: String,
    condition: Condition,
    /// All of it in one sentence, numbers included.
    title: String,
}

impl Badge {
    /// The badge of the SLO of this id; none if there is no such SLO.
    pub fn of(engine: &Engine, id: &str, now: Timestamp) -> Option<Self> {
        let state = engine.slo(id)?;
        let slo = SloView::now(state, now);
        let blind = engine.blindness(now);
        let condition = match slo.condition {
            // What is good was good while somebody looked.
            Condition::Meeting if blind.is_some() || slo.old.is_some() => Condition::NoData,
            other => other,
        };
        let left = slo.measured.as_ref().map(|m| match m.overspent {
            true => format!("{} over budget", m.left_time),
            false => format!("{} left", m.left_time),
        });
        let words = condition.words().to_lowercase();
        let message = match left.filter(|_| condition != Condition::NoData) {
            Some(left) => format!("{words}, {left}"),
            None => words.clone(),
        };
        let numbers = slo.measured.as_ref().map_or(number::NO_DATA.to_owned(), |m| {
            let over = if m.overspent { "over a" } else { "left of a" };
            format!(
                "{} good ({} bad of {}), {} {over} budget of {}, coverage {}",
                m.sli, m.bad, m.total, m.left_time, slo.budget, m.coverage
            )
        });
        let blind = blind.map(|blind| format!("; {}", blind.sentence())).unwrap_or_default();
        let title = format!("{id}: {words}; promised {}; {numbers}{blind}", slo.promise);
        Some(Badge { label: id.to_owned(), message, condition, title })
    }

    /// In the shape that shields.io asks for, which takes no other keys.
    fn json(&self) -> Value {
        json!({
            "schemaVersion": 1,
            "label": self.label,
            "message": self.message,
            "color": colour(self.condition),
        })
    }

    fn picture(&self) -> Picture<'_> {
        let (left, right) = (width(&self.label), width(&self.message));
        Picture { badge: self, colour: colour(self.condition), left, right }
    }
}

/// Dark enough for white letters; those of the pages.
const fn colour(condition: Condition) -> &'static str {
    match condition {
        Condition::Missed => "#a11d22",
        Condition::BurningFast => "#b23c09",
        Condition::BurningSlow => "#8a5a00",
        Condition::BudgetLow => "#6f6209",
        Condition::NoData | Condition::NoObjective => "#56606e",
        Condition::Meeting => "#12693a",
    }
}

/// The SVG. Without a style or a script, which READMEs drop.
#[derive(Debug, Template)]
#[template(path = "badge.svg")]
struct Picture<'a> {
    badge: &'a Badge,
    colour: &'static str,
    /// How wide each text is, in pixels.
    left: u32,
    right: u32,
}

impl Picture<'_> {
    fn left_box(&self) -> u32 {
        self.left + 2 * MARGIN
    }

    fn right_box(&self) -> u32 {
        self.right + 2 * MARGIN
    }

    fn right_text(&self) -> u32 {
        self.left_box() + MARGIN
    }
}

/// About how wide a text is in Verdana; readers with another font stretch it to that.
fn width(text: &str) -> u32 {
    let tenths = |c: char| match c {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!'
        | ' ' => 42,
        '/' | '-' | '(' | ')' | 's' | 'c' | 'z' => 54,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 105,
        'A'..='Z' => 75,
        ' '..='~' => 68,
        _ => 110,
    };
    text.chars().map(tenths).sum::<u32>().div_ceil(10)
}

/// `GET /api/v1/slos/{service}/{slo}/badge.svg`.
///
/// # Errors
/// Unknown SLOs.
pub async fn svg(
    State(shared): State<Shared>,
    Path((service, slo)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let badge = badge(&shared, &format!("{service}/{slo}"))?;
    let svg = badge.picture().render().map_err(|error| {
        let detail = format!("drawing the badge failed: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    let headers = [(CONTENT_TYPE, "image/svg+xml; charset=utf-8"), (CACHE_CONTROL, CACHING)];
    Ok((headers, svg).into_response())
}

/// `GET /api/v1/slos/{service}/{slo}/badge.json`.
///
/// # Errors
/// Unknown SLOs.
pub async fn json(
    State(shared): State<Shared>,
    Path((service, slo)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let badge = badge(&shared, &format!("{service}/{slo}"))?;
    Ok(([(CACHE_CONTROL, CACHING)], Json(badge.json())).into_response())
}

fn badge(shared: &Shared, id: &str) -> Result<Badge, Problem> {
    let engine = shared.site.engine();
    let badge = Badge::of(&engine, id, shared.site.clock.now());
    badge.ok_or_else(|| api::unknown_slo(&engine, id))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::isolation::Sight;
    use crate::serve::fixture::{self, NOW};

    fn check(engine: &Engine, id: &str, now: Timestamp, message: &str, colour: &str) {
        let badge = Badge::of(engine, id, now).expect("an SLO");
        let json = badge.json();
        assert_eq!((&json["message"], &json["color"]), (&message.into(), &colour.into()), "{id}");
        let svg = badge.picture().render().expect("a picture");
        assert!(svg.contains(message) && svg.contains(colour), "{svg}");
    }

    #[test]
    fn a_badge_says_how_an_slo_stands_and_what_is_left() {
        let engine = fixture::platform();
        let check = |id, message, colour| check(&engine, id, NOW, message, colour);
        check("artifact-registry/availability", "burning fast, 19 min 36 s left", "#b23c09");
        check("postgres/availability", "objective missed, 16 min 48 s over budget", "#a11d22");
        check("ci-runners/availability", "budget low, 32 min 40 s left", "#6f6209");
        check("dns/availability", "meeting objective, 25.92 s left", "#12693a");
        check("ingress/availability", "no data", "#56606e");
        check("object-store/availability", "no data", "#56606e");
        assert_eq!(Badge::of(&engine, "dns/latency", NOW), None);
        let title = Badge::of(&engine, "artifact-registry/availability", NOW).expect("one").title;
        assert_eq!(
            title,
            "artifact-registry/availability: burning fast; promised 99.95 % of probes answered \
             well, over 30 d; 99.9953 % good (24 bad of 518\u{202f}400), 19 min 36 s left of a \
             budget of 21 min 36 s, coverage 100 %"
        );
    }

    #[test]
    fn nobody_looking_is_no_data_and_never_green() {
        let mut engine = fixture::platform();
        let later = NOW.plus(Duration::from_secs(300));
        check(&engine, "dns/availability", later, "no data", "#56606e");
        engine.see(Sight::CutOff(NOW.minus(Duration::from_secs(90))));
        check(&engine, "dns/availability", NOW, "no data", "#56606e");
        // What is bad stays as it was.
        let missed = "objective missed, 16 min 48 s over budget";
        check(&engine, "postgres/availability", NOW, missed, "#a11d22");
    }

    #[test]
    fn the_picture_is_wide_enough_and_runs_nothing() {
        let badge = Badge {
            label: "a<b>/\"c\"".to_owned(),
            message: "no data".to_owned(),
            condition: Condition::NoData,
            title: "<script>".to_owned(),
        };
        let svg = badge.picture().render().expect("a picture");
        assert!(
            !svg.contains("<script") && !svg.contains("style") && !svg.contains("<b>"),
            "{svg}"
        );
        assert!(svg.contains("role=\"img\"") && svg.contains("<title>&#60;script&#62;</title>"));
        assert!(width("mmmm") > width("iiii") && width("no data") > 40);
    }
}

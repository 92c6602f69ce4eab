//! What the pages about applications show: the list of all, and one with every gate.

use askama::Template;

use crate::engine::fit::{Answer, Fit, Gate, Measured, TermFacts};
use crate::model::composition::Composed;
use crate::model::{Application, Objective, number};
use crate::serve::own::VERSION;

use super::view::web_links;

/// The list.
#[derive(Debug, Template)]
#[template(path = "applications.html")]
pub struct ApplicationsPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    worst: Shown,
    headline: String,
    applications: Vec<Row>,
}

/// One application of the list.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub title: String,
    pub team: String,
    pub need: String,
    pub shown: Shown,
    /// The gates that fail, or those that nobody can answer.
    pub why: String,
    pub offer: String,
}

/// The page of one application.
#[derive(Debug, Template)]
#[template(path = "application.html")]
pub struct ApplicationPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    name: String,
    title: String,
    team: String,
    links: Vec<(String, String)>,
    description: String,
    need: String,
    shown: Shown,
    offer: String,
    conditions: String,
    composed: Option<Three>,
    gates: Vec<GateRow>,
    terms: Vec<TermRow>,
    soft: String,
}

/// An answer in the words and the signs of pages.
#[derive(Clone, Copy, Debug)]
pub struct Shown(Answer);

impl Shown {
    pub const fn words(self) -> &'static str {
        match self.0 {
            Answer::Pass => "Fits",
            Answer::Unknown => "Not known yet",
            Answer::Fail => "Does not fit",
        }
    }

    const fn gate_words(self) -> &'static str {
        match self.0 {
            Answer::Pass => "Pass",
            Answer::Unknown => "Unknown",
            Answer::Fail => "Fail",
        }
    }

    /// The sign and the colour of the condition that is most like it.
    pub const fn slug(self) -> &'static str {
        match self.0 {
            Answer::Pass => "meeting",
            Answer::Unknown => "no-data",
            Answer::Fail => "missed",
        }
    }
}

/// An availability, three times.
#[derive(Debug)]
struct Three {
    worst: String,
    independent: String,
    best: String,
}

#[derive(Debug)]
struct GateRow {
    name: &'static str,
    shown: Shown,
    sentence: String,
}

/// One thing that is needed.
#[derive(Debug)]
struct TermRow {
    title: String,
    way: String,
    promise: String,
    measured: String,
    supported: String,
    three: Three,
    required: String,
}

impl ApplicationsPage {
    /// The page over every fit, those that do not fit first.
    pub fn of(fits: &[Fit<'_>]) -> Self {
        let mut fits: Vec<&Fit<'_>> = fits.iter().collect();
        fits.sort_by_key(|fit| std::cmp::Reverse(fit.answer()));
        let worst = fits.first().map_or(Answer::Unknown, |fit| fit.answer());
        ApplicationsPage {
            root: "./",
            version: VERSION,
            assets: super::assets_version(),
            worst: Shown(worst),
            headline: headline(&fits),
            applications: fits.into_iter().map(Row::of).collect(),
        }
    }
}

fn headline(fits: &[&Fit<'_>]) -> String {
    let n = |answer| fits.iter().filter(|fit| fit.answer() == answer).count();
    let (all, fail, unknown) = (fits.len(), n(Answer::Fail), n(Answer::Unknown));
    match (all, fail, unknown) {
        (0, ..) => "No application is declared yet.".to_owned(),
        (_, 0, 0) => format!("The platform carries all of its {all} applications."),
        (_, 0, _) => {
            format!("Nothing speaks against {all} applications; {unknown} are not proven.")
        }
        _ => format!("The platform does not carry {fail} of {all} applications as they are."),
    }
}

impl Row {
    /// The row of one fit.
    pub fn of(fit: &Fit<'_>) -> Self {
        let application = fit.application;
        let of = |answer| -> Vec<&str> {
            let gates = fit.gates().filter(|(_, finding)| finding.answer == answer);
            gates.map(|(gate, _)| gate.word()).collect()
        };
        let why = match fit.answer() {
            Answer::Pass => String::new(),
            answer => of(answer).join(", "),
        };
        Row {
            name: application.name.to_string(),
            title: application.title().to_owned(),
            team: application.team().to_owned(),
            need: need(application),
            shown: Shown(fit.answer()),
            why,
            offer: fit.offer.as_ref().map_or("nothing".to_owned(), |o| percent(o.objective)),
        }
    }
}

fn need(application: &Application) -> String {
    format!("{} over {}", percent(application.objective), application.window)
}

fn percent(objective: Objective) -> String {
    number::percent_ppb(objective.ppb())
}

impl ApplicationPage {
    /// The page of one fit.
    pub fn of(fit: &Fit<'_>) -> Self {
        let application = fit.application;
        let conditions = fit.offer.iter().flat_map(|offer| &offer.conditions);
        let conditions: Vec<&str> = conditions.map(|gate| gate.word()).collect();
        let soft = application.depends_on.iter();
        let soft = soft.filter(|one| one.impact == crate::model::catalog::Impact::Soft);
        let soft: Vec<&str> = soft.flat_map(|one| &one.of).map(|name| name.as_str()).collect();
        let offer = fit.offer.as_ref().map(crate::engine::fit::render::offer_sentence);
        let gate = |(gate, finding): (Gate, &crate::engine::fit::Finding)| GateRow {
            name: gate.word(),
            shown: Shown(finding.answer),
            sentence: capital(&finding.sentence),
        };
        ApplicationPage {
            root: "../",
            version: VERSION,
            assets: super::assets_version(),
            name: application.name.to_string(),
            title: application.title().to_owned(),
            team: application.team().to_owned(),
            links: web_links(&application.links),
            description: application.description.clone().unwrap_or_default(),
            need: need(application),
            shown: Shown(fit.answer()),
            offer: offer.unwrap_or_default(),
            conditions: conditions.join(", "),
            composed: fit.composed.as_ref().map(three),
            gates: fit.gates().map(gate).collect(),
            terms: fit.terms.iter().map(term).collect(),
            soft: soft.join(", "),
        }
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or(String::new(), |first| {
        // Names of services begin sentences as they are written.
        let known =
            ["what", "not", "no", "nobody", "the", "one", "an", "each", "nothing", "single"];
        let word = sentence.split(' ').next().unwrap_or_default();
        match known.contains(&word) {
            true => first.to_uppercase().chain(letters).collect(),
            false => sentence.to_owned(),
        }
    })
}

fn three(composed: &Composed) -> Three {
    Three {
        worst: composed.worst.percent(),
        independent: composed.independent.map_or(number::NO_DATA.to_owned(), |lost| lost.percent()),
        best: composed.best.percent(),
    }
}

fn term(term: &TermFacts) -> TermRow {
    let each = |text: &dyn Fn(&Measured) -> String| -> String {
        let texts = term
            .measured
            .iter()
            .map(|measured| measured.as_ref().map_or(number::NO_DATA.to_owned(), text));
        join(texts)
    };
    let promises = term.promises.iter().map(|p| p.map_or("nothing".to_owned(), percent));
    let supported = |measured: &Measured| {
        measured.supported_ppb.map_or(number::NO_DATA.to_owned(), number::percent_ppb)
    };
    TermRow {
        title: term.title(),
        way: term.way.join(" › "),
        promise: join(promises),
        measured: each(&|m| number::percent(m.counted.good, m.counted.total())),
        supported: each(&supported),
        three: three(&term.composed),
        required: term.required.map_or("more than nine nines".to_owned(), percent),
    }
}

/// Texts beside each other; once, if all are the same.
fn join(texts: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = texts.collect();
    texts.dedup();
    texts.join(", ")
}

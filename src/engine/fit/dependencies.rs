//! Gate 2: whether what is needed loses little enough together. Decided on the value for
//! independent failures with declared common causes; where something promises nothing, on the
//! bounds, as far as they decide.

use serde_json::{Value, json};

use crate::model::composition::Composed;
use crate::model::number;

use super::ground::{Ask, TermFacts, list};
use super::{Answer, Finding};

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let Some(composed) = ask.case.composed else {
        let sentence = "the services that are needed are too entangled to compute";
        return Finding::new(Answer::Unknown, sentence);
    };
    let answer = within(&composed, ask.budget_ratio());
    Finding::new(answer, sentence(ask, &composed, answer))
        .number(composed.independent.map(|lost| lost.availability()), "ratio")
        .fact("worst", composed.worst.availability())
        .fact("independent", composed.independent.map(|lost| lost.availability()))
        .fact("best", composed.best.availability())
        .fact("budgets_lost", composed.independent.map(|lost| budgets(ask, lost.value())))
        .fact("offenders", offenders_json(ask))
}

/// Whether this stays within a budget.
pub(super) fn within(composed: &Composed, (numerator, denominator): (u128, u128)) -> Answer {
    if composed.worst.fits(numerator, denominator) {
        return Answer::Pass;
    }
    if !composed.best.fits(numerator, denominator) {
        return Answer::Fail;
    }
    match composed.independent {
        Some(lost) => Answer::of(lost.fits(numerator, denominator)),
        None => Answer::Unknown,
    }
}

fn sentence(ask: &Ask<'_, '_>, composed: &Composed, answer: Answer) -> String {
    let need = number::percent_ppb(ask.objective.ppb());
    let (worst, best) = (composed.worst.percent(), composed.best.percent());
    let silent: Vec<String> = ask
        .case
        .needed()
        .filter(|service| ask.case.ground.known(*service).promise.is_none())
        .map(|service| ask.case.ground.platform().name(service).to_owned())
        .collect();
    let Some(lost) = composed.independent else {
        let why = match silent.as_slice() {
            [] => "it is too entangled to be exact".to_owned(),
            silent => format!("nothing is promised for {}", list(silent)),
        };
        return format!("between {worst} and {best} of the {need} that is needed: {why}");
    };
    let both =
        format!("{} of the {need} that is needed (worst {worst}, best {best})", lost.percent());
    if answer == Answer::Pass {
        return format!("what it depends on leaves {both}");
    }
    let alone: Vec<String> =
        offenders(ask, |c, b| c.best.fits(b.0, b.1)).map(TermFacts::title).collect();
    let why = match alone.as_slice() {
        [] => "no one dependency breaks it alone, together they do".to_owned(),
        [one] => format!("{one} alone loses more than the whole budget"),
        many => format!("each of {} alone loses more than the whole budget", list(many)),
    };
    let budgets = budgets(ask, lost.value());
    format!("what it depends on leaves {both}, {budgets} times the budget: {why}")
}

/// How many budgets that is, with two digits.
fn budgets(ask: &Ask<'_, '_>, lost: f64) -> String {
    let (numerator, denominator) = ask.budget_ratio();
    format!("{:.2}", lost * denominator as f64 / numerator as f64)
}

/// The terms that break the budget alone.
fn offenders<'t>(
    ask: &'t Ask<'_, '_>,
    fits: impl Fn(&Composed, (u128, u128)) -> bool + 't,
) -> impl Iterator<Item = &'t TermFacts> {
    let budget = ask.budget_ratio();
    ask.case.terms.iter().filter(move |term| !fits(&term.composed, budget))
}

/// Who breaks the budget alone: in the worst case, if failures are independent, and always.
fn offenders_json(ask: &Ask<'_, '_>) -> Value {
    let titles = |fits: fn(&Composed, (u128, u128)) -> bool| -> Value {
        offenders(ask, fits).map(|term| Value::from(term.title())).collect()
    };
    json!({
        "worst": titles(|c, b| c.worst.fits(b.0, b.1)),
        "independent": titles(|c, b| c.independent.is_none_or(|lost| lost.fits(b.0, b.1))),
        "best": titles(|c, b| c.best.fits(b.0, b.1)),
    })
}

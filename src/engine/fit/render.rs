//! Fits as JSON, the same for the HTTP API and `nines fit`.
//!
//! Ratios are decimal text, cut toward worse; a key without a value is `null`.

use serde_json::{Map, Value, json};

use crate::model::composition::Composed;
use crate::model::decimal;
use crate::model::number;
use crate::model::objective::PPB;
use crate::model::{Application, Objective, Slo};

use super::ground::seconds;
use super::service::ServiceFit;
use super::{Finding, Fit, Gate, Measured, Offer, TermFacts};

/// Every fit, under its schema.
pub fn fits_json(fits: &[Fit<'_>]) -> Value {
    let all: Value = fits.iter().map(fit_json).collect();
    json!({ "schema": "nines.fit/v1", "applications": all })
}

/// One fit with every gate.
pub fn fit_json(fit: &Fit<'_>) -> Value {
    let mut json = summary_json(fit);
    json["description"] = fit.application.description.clone().into();
    json["composition"] = fit.composed.as_ref().map(composed_json).into();
    json["gates"] = fit.gates().map(gate_json).collect();
    json["dependencies"] = fit.terms.iter().map(term_json).collect();
    json["soft"] = soft(fit.application).into();
    json
}

/// One application with the answers alone.
pub fn summary_json(fit: &Fit<'_>) -> Value {
    let application = fit.application;
    let answer = |(gate, finding): (Gate, &Finding)| {
        (gate.word().to_owned(), Value::from(finding.answer.word()))
    };
    json!({
        "application": application.name.as_str(),
        "title": application.title(),
        "team": application.team(),
        "objective": application.objective.ratio(),
        "window": application.window.to_string(),
        "reserve": application.reserve.and_then(|reserve| ratio(reserve.ppb())),
        "fit": fit.answer().word(),
        "offer": fit.offer.as_ref().map(offer_json),
        "answers": fit.gates().map(answer).collect::<Map<_, _>>(),
    })
}

fn gate_json((gate, finding): (Gate, &Finding)) -> Value {
    let mut map = finding.facts.clone();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("gate", gate.word().into());
    put("answer", finding.answer.word().into());
    put("number", finding.number.as_ref().map(|(value, _)| value.clone()).into());
    put("unit", finding.number.as_ref().map(|(_, unit)| *unit).into());
    put("sentence", finding.sentence.clone().into());
    Value::Object(map)
}

fn offer_json(offer: &Offer) -> Value {
    let conditions: Vec<&str> = offer.conditions.iter().map(|gate| gate.word()).collect();
    json!({
        "objective": offer.objective.ratio(),
        "budget_seconds": seconds(offer.budget),
        "repair_at_most_seconds": offer.repair.and_then(seconds),
        "conditions": conditions,
        "sentence": offer_sentence(offer),
    })
}

/// The offer in words.
pub fn offer_sentence(offer: &Offer) -> String {
    let mut sentence = format!(
        "{} ({})",
        number::percent_ppb(offer.objective.ppb()),
        number::duration(offer.budget)
    );
    if let Some(repair) = offer.repair {
        sentence.push_str(&format!(
            ", if repair takes at most {} once somebody has answered",
            number::duration(repair)
        ));
    }
    sentence
}

fn composed_json(composed: &Composed) -> Value {
    json!({
        "worst": composed.worst.availability(),
        "independent": composed.independent.map(|lost| lost.availability()),
        "best": composed.best.availability(),
    })
}

fn term_json(term: &TermFacts) -> Value {
    let each = |((name, promise), measured): ((&String, &Option<Objective>), &Option<Measured>)| {
        json!({
            "service": name,
            "promise": promise.map(Objective::ratio),
            "measured": measured.as_ref().map(measured_json),
        })
    };
    let services = term.of.iter().zip(&term.promises).zip(&term.measured);
    json!({
        "name": term.title(),
        "need": term.need,
        "of": services.map(each).collect::<Value>(),
        "way": term.way,
        "composition": composed_json(&term.composed),
        "required": term.required.map(Objective::ratio),
        "common_cause": term.common_cause_ppb.and_then(ratio),
        "largest_common_cause": term.largest_common_cause_ppb.and_then(ratio),
    })
}

fn measured_json(measured: &Measured) -> Value {
    json!({
        "at": measured.at.to_string(),
        "sli": measured.counted.sli(),
        "good": measured.counted.good,
        "bad": measured.counted.bad,
        "coverage": measured.coverage.ratio(),
        "supported": measured.supported_ppb.and_then(ratio),
        "evidence": measured.evidence.words(),
        "assumed_outage_seconds": seconds(measured.assumed_outage),
    })
}

/// A composite SLO with what is measured of it: as a share, since no count of events is its own.
fn composite_json((slo, measured): &(&Slo, Option<Measured>)) -> Value {
    let share = |measured: &Measured| {
        let mut json = measured_json(measured);
        if let Value::Object(map) = &mut json {
            map.retain(|key, _| key != "good" && key != "bad");
        }
        json
    };
    json!({
        "slo": slo.id.as_str(),
        "objective": slo.objective.ratio(),
        "window": slo.window.to_string(),
        "measured": measured.as_ref().map(share),
    })
}

fn soft(application: &Application) -> Vec<String> {
    use crate::model::catalog::Impact;
    let soft = application.depends_on.iter().filter(|one| one.impact == Impact::Soft);
    soft.flat_map(|one| &one.of).map(ToString::to_string).collect()
}

/// One service and those who need it, under its schema.
pub fn service_json(fit: &ServiceFit<'_>) -> Value {
    let dependent = |one: &super::service::Dependent<'_>| {
        json!({
            "application": one.application.name.as_str(),
            "team": one.application.team(),
            "objective": one.application.objective.ratio(),
            "answer": one.answer.word(),
            "required": one.required.map(Objective::ratio),
        })
    };
    let fixes = fit
        .fixes
        .iter()
        .map(|fix| json!({ "objective": fix.objective.ratio(), "supports": fix.supports }));
    json!({
        "schema": "nines.service-fit/v1",
        "service": fit.service.name.as_str(),
        "title": fit.service.title(),
        "team": fit.service.team(),
        "promise": fit.promise.map(Objective::ratio),
        "measured": fit.measured.as_ref().map(measured_json),
        "composites": fit.composites.iter().map(composite_json).collect::<Value>(),
        "composition": fit.composed.as_ref().map(composed_json),
        "possible": fit.possible.word(),
        "applications": fit.applications.iter().map(dependent).collect::<Value>(),
        "fixes": fixes.collect::<Value>(),
    })
}

fn ratio(ppb: u32) -> Option<String> {
    decimal::ratio(ppb.into(), PPB.into())
}

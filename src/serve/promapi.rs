//! `/api/v1/alerts` and `/api/v1/rules` in the shape of Prometheus' HTTP API, so that what reads
//! those of a Prometheus reads ours. It is no query API.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::engine::{Alert, AlertKind, Engine, SloState};
use crate::model::{Severity, Timestamp, decimal};

use super::problem::Problem;
use super::routes::Shared;

/// How often rules are evaluated, in seconds.
const INTERVAL: u32 = 1;

/// `GET /api/v1/alerts`: what fires.
///
/// # Errors
/// When rendering fails.
pub async fn alerts(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let engine = site.engine();
        let of_slos = engine.slos().iter().flat_map(|state| {
            state.alerts.iter().filter_map(move |alert| active(alert, Some(state)))
        });
        let watchdog = engine.alerts().filter(|alert| alert.slo.is_none());
        let watchdog = watchdog.filter_map(|alert| active(alert, None));
        success(json!({ "alerts": of_slos.chain(watchdog).collect::<Value>() }))
    };
    shared.blocking(render).await
}

/// `GET /api/v1/rules`: one group per service, one alerting rule per SLO and kind.
///
/// # Errors
/// When rendering fails.
pub async fn rules(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let engine = site.engine();
        success(json!({ "groups": groups(&engine) }))
    };
    shared.blocking(render).await
}

fn success(data: Value) -> Json<Value> {
    Json(json!({ "status": "success", "data": data }))
}

fn groups(engine: &Engine) -> Value {
    let by_service = engine.slos().chunk_by(|a, b| a.slo.id.service() == b.slo.id.service());
    let of_service = by_service.map(|states| {
        let name = states.first().map_or("", |state| state.slo.id.service());
        let rules: Value = states
            .iter()
            .flat_map(|state| state.alerts.iter().map(move |alert| rule(alert, Some(state))))
            .collect();
        group(name, rules, engine.last_tick())
    });
    let own = engine.alerts().filter(|alert| alert.slo.is_none()).map(|alert| rule(alert, None));
    of_service.chain([group("nines", own.collect(), engine.last_tick())]).collect()
}

fn group(name: &str, rules: Value, evaluated_at: Option<Timestamp>) -> Value {
    json!({
        "name": name,
        "file": "nines",
        "interval": INTERVAL,
        "limit": 0,
        "rules": rules,
        "evaluationTime": 0,
        "lastEvaluation": time(evaluated_at),
    })
}

fn rule(alert: &Alert, state: Option<&SloState>) -> Value {
    let active: Vec<Value> = active(alert, state).into_iter().collect();
    // Prometheus has the name and, of the labels, only those that the rule adds.
    let labels: serde_json::Map<String, Value> = alert
        .labels
        .iter()
        .filter(|(key, _)| **key != "alertname")
        .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
        .collect();
    // A tick that finds what the one before found says so of the SLO alone.
    let status = state.and_then(|state| state.status.as_ref());
    let evaluated_at = status.map_or(Timestamp::MIN, |s| s.at).max(alert.evaluated_at);
    json!({
        "type": "alerting",
        "name": alert.kind.name(),
        "query": query(alert),
        "duration": 0,
        "keepFiringFor": 0,
        "labels": labels,
        "annotations": alert.annotations,
        "state": if alert.is_firing() { "firing" } else { "inactive" },
        "alerts": active,
        "health": if evaluated_at == Timestamp::MIN { "unknown" } else { "ok" },
        "evaluationTime": 0,
        "lastEvaluation": time((evaluated_at != Timestamp::MIN).then_some(evaluated_at)),
    })
}

/// The alert as Prometheus lists it while it fires.
fn active(alert: &Alert, state: Option<&SloState>) -> Option<Value> {
    let at = alert.fired_at().filter(|_| alert.is_firing())?;
    Some(json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": "firing",
        "activeAt": at.to_string(),
        "value": state.and_then(|state| value(alert.kind, state)).unwrap_or_else(|| "1".to_owned()),
    }))
}

/// The number that made it fire: the highest burn rate that does, or the share that is spent.
fn value(kind: AlertKind, state: &SloState) -> Option<String> {
    let status = state.status.as_ref()?;
    let severity = Severity::ALL.into_iter().find(|severity| AlertKind::of(*severity) == kind);
    let Some(severity) = severity else {
        return (kind == AlertKind::Exhausted).then(|| status.budget.spent_ratio()).flatten();
    };
    let ((numerator, denominator), _) = super::condition::burn(&state.slo, status, severity)?;
    decimal::ratio(i128::try_from(numerator).ok()?, denominator)
}

/// A query over our own metrics that says what the rule says.
fn query(alert: &Alert) -> String {
    let slo = alert.slo.as_ref().map_or("", |slo| slo.as_str());
    let firing = |severity: Severity| {
        let severity = severity.word();
        format!("nines_slo_alert_firing{{slo=\"{slo}\",severity=\"{severity}\"}} == 1")
    };
    match alert.kind {
        AlertKind::BurnFast => firing(Severity::Page),
        AlertKind::BurnSlow => firing(Severity::Ticket),
        AlertKind::Exhausted => format!("nines_slo_error_budget_left_ratio{{slo=\"{slo}\"}} < 0"),
        AlertKind::NoData => {
            let known = format!("nines_slo_good_total{{slo=\"{slo}\"}}");
            let bad = format!("nines_slo_bad_total{{slo=\"{slo}\"}}");
            format!("changes({known}[5m]) + changes({bad}[5m]) == 0")
        }
        AlertKind::Blind => "nines_blind == 1".to_owned(),
        AlertKind::Watchdog => "vector(1)".to_owned(),
    }
}

/// A moment as Prometheus writes it; its zero time for none.
fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

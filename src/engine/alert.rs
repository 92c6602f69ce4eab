//! Alerts: their names, labels and life.
//!
//! An alert fires at the tick at which its condition first holds and resolves at the tick at
//! which it first does not; there is no waiting time. Labels never carry a value that changes,
//! so an alert keeps its identity; values live in annotations. While firing it is sent again
//! every resend delay, once resolved it is sent again for fifteen minutes, and it carries an end
//! four delays ahead, so that it outlives a lost message but not a dead monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::format_duration;
use crate::model::{Record, Service, Severity, Slo, SloId, Timestamp, number};

use super::monitor::Effect;
use super::status::{Exhaustion, SloStatus};

/// How long a resolved alert is still sent.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// Under this prefix the lives of alerts are kept.
pub const ALERT_STATE: &str = "alert/";

/// The alerts there are. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A page pair of the policy fires.
    BurnFast,
    /// A ticket pair of the policy fires.
    BurnSlow,
    /// The whole budget is spent.
    Exhausted,
    /// Nothing was measured for a while.
    NoData,
    /// Nothing at all can be measured.
    Blind,
    /// Always fires, so that its absence can be noticed.
    Watchdog,
}

impl AlertKind {
    /// The alerts that every SLO has.
    pub const OF_SLO: [AlertKind; 4] =
        [AlertKind::BurnFast, AlertKind::BurnSlow, AlertKind::Exhausted, AlertKind::NoData];

    /// The `alertname` label.
    pub const fn name(self) -> &'static str {
        match self {
            AlertKind::BurnFast => "NinesErrorBudgetBurnFast",
            AlertKind::BurnSlow => "NinesErrorBudgetBurnSlow",
            AlertKind::Exhausted => "NinesErrorBudgetExhausted",
            AlertKind::NoData => "NinesNoData",
            AlertKind::Blind => "NinesBlind",
            AlertKind::Watchdog => "Watchdog",
        }
    }

    /// The `severity` label.
    pub const fn severity(self) -> &'static str {
        match self {
            AlertKind::BurnFast | AlertKind::Blind => "critical",
            AlertKind::BurnSlow | AlertKind::Exhausted | AlertKind::NoData => "warning",
            AlertKind::Watchdog => "none",
        }
    }

    /// The alert that pairs of this severity raise.
    pub const fn of(severity: Severity) -> Self {
        match severity {
            Severity::Page => AlertKind::BurnFast,
            Severity::Ticket => AlertKind::BurnSlow,
        }
    }
}

/// One alert of one SLO, with its life so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Which one.
    pub kind: AlertKind,
    /// Whose; none for the watchdog.
    pub slo: Option<SloId>,
    /// The labels that identify it, `alertname` and `severity` included.
    pub labels: BTreeMap<&'static str, String>,
    /// What people read: `summary`, `description` and the links the service declares.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub life: Life,
    /// Whether a Maintenance alone keeps it from firing.
    pub is_muted: bool,
    /// The tick of the evaluation that this describes.
    pub evaluated_at: Timestamp,
}

/// Where an alert stands. Survives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Since when it fires, in microseconds since the epoch; of the last firing when resolved.
    pub fired_at: Option<i64>,
    /// When it resolved; none while it fires.
    pub resolved_at: Option<i64>,
    /// When it was last sent.
    #[serde(skip)]
    pub sent_at: Option<i64>,
}

/// One alert as it is sent to an Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The identity.
    pub labels: BTreeMap<&'static str, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires; the same in firing and resolved messages.
    pub starts_at: Timestamp,
    /// For a firing alert when it lapses unless sent again; for a resolved one when it resolved.
    pub ends_at: Timestamp,
    /// Whether `ends_at` says that it is over.
    pub resolved: bool,
    /// The path and query, below the external URL, of the page that shows it.
    pub path: String,
}

/// A dead man's switch: the alert that always fires.
pub fn watchdog() -> Alert {
    let kind = AlertKind::Watchdog;
    let summary = "The alert path from nines works as long as this alert fires.";
    Alert {
        kind,
        slo: None,
        labels: BTreeMap::from([
            ("alertname", kind.name().to_owned()),
            ("severity", kind.severity().to_owned()),
        ]),
        annotations: BTreeMap::from([
            ("summary".to_owned(), summary.to_owned()),
            (
                "description".to_owned(),
                "Route this to a receiver that raises an alarm when it stops arriving.".to_owned(),
            ),
        ]),
        life: Life::default(),
        is_muted: false,
        evaluated_at: Timestamp::MIN,
    }
}

/// That a whole monitor sees nothing, from this vantage; it has not fired yet.
pub fn blind(vantage: &str) -> Alert {
    let kind = AlertKind::Blind;
    Alert {
        kind,
        slo: None,
        labels: BTreeMap::from([
            ("alertname", kind.name().to_owned()),
            ("severity", kind.severity().to_owned()),
            ("vantage", vantage.to_owned()),
        ]),
        annotations: BTreeMap::from([("summary".to_owned(), BLIND_SUMMARY.to_owned())]),
        life: Life::default(),
        is_muted: false,
        evaluated_at: Timestamp::MIN,
    }
}

/// The same for every evaluation, and in generated rules.
pub const BLIND_SUMMARY: &str = "nines sees nothing: no objective is being measured from here.";

/// An alert of one SLO that has not fired yet.
pub fn of_slo(kind: AlertKind, slo: &Slo, service: &Service) -> Alert {
    let mut labels = BTreeMap::from([
        ("alertname", kind.name().to_owned()),
        ("severity", kind.severity().to_owned()),
        ("slo", slo.id.to_string()),
        ("slo_service", service.name.to_string()),
        ("service", service.name.to_string()),
    ]);
    if !service.team().is_empty() {
        labels.insert("team", service.team().to_owned());
    }
    let mut annotations = BTreeMap::new();
    for (name, key) in [("runbook", "runbook_url"), ("dashboard", "dashboard_url")] {
        if let Some(url) = service.links.get(name) {
            annotations.insert(key.to_owned(), url.clone());
        }
    }
    annotations.insert("summary".to_owned(), summary(kind, slo));
    Alert {
        kind,
        slo: Some(slo.id.clone()),
        labels,
        annotations,
        life: Life::default(),
        is_muted: false,
        evaluated_at: Timestamp::MIN,
    }
}

/// Whose life is kept under this name; none for the watchdog's and for other states.
pub fn slo_of_state(name: &str) -> Option<SloId> {
    let (_kind, slo) = name.strip_prefix(ALERT_STATE)?.split_once('/')?;
    slo.parse().ok()
}

/// The same for every evaluation, so that grouped messages read as one.
fn summary(kind: AlertKind, slo: &Slo) -> String {
    let id = &slo.id;
    match kind {
        AlertKind::BurnFast => format!("{id} is burning its error budget fast."),
        AlertKind::BurnSlow => format!("{id} is burning its error budget faster than it refills."),
        AlertKind::Exhausted => format!("{id} has spent its whole error budget."),
        AlertKind::NoData => format!("{id} is not being measured."),
        AlertKind::Blind | AlertKind::Watchdog => String::new(),
    }
}

impl Life {
    /// Whether it fires.
    pub fn is_firing(&self) -> bool {
        self.fired_at.is_some() && self.resolved_at.is_none()
    }

    /// The same life, not told to anybody yet.
    pub(super) fn unsent(self) -> Self {
        Life { sent_at: None, ..self }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers always becomes JSON")
    }
}

/// The state of an alert, known by its name only, that has resolved.
pub fn resolved_state(name: String, life: Life, at: Timestamp) -> Record {
    Record::State { name, json: Life { resolved_at: Some(at.micros()), ..life }.json() }
}

impl Alert {
    /// Whether it fires.
    pub fn is_firing(&self) -> bool {
        self.life.is_firing()
    }

    /// Goes on with the life of the same alert as it was declared before.
    pub(super) fn go_on(&mut self, before: Alert) {
        (self.life, self.evaluated_at) = (before.life, before.evaluated_at);
        self.is_muted = before.is_muted;
        let description = before.annotations.get_key_value("description");
        self.annotations.extend(description.map(|(key, text)| (key.clone(), text.clone())));
    }

    /// What is left to be told of an alert that is not declared any more: its end.
    pub(super) fn departed(mut self, at: Timestamp) -> Option<Self> {
        self.life.fired_at?;
        self.life.resolved_at.get_or_insert(at.micros());
        Some(self)
    }

    /// Since when it fires, or fired last.
    pub fn fired_at(&self) -> Option<Timestamp> {
        self.life.fired_at.map(Timestamp::from_micros)
    }

    /// The name under which its life is kept.
    pub fn state_name(&self) -> String {
        let slo = self.slo.as_ref().map_or("", SloId::as_str);
        format!("{ALERT_STATE}{}/{slo}", self.kind.name())
    }

    /// Moves on at the tick `at`; says whether that changed anything.
    fn moves(&mut self, holds: bool, at: Timestamp) -> bool {
        self.evaluated_at = at;
        match (holds, self.is_firing()) {
            (true, false) => {
                self.life = Life { fired_at: Some(at.micros()), resolved_at: None, sent_at: None };
                true
            }
            (false, true) => {
                self.life.resolved_at = Some(at.micros());
                true
            }
            _ => false,
        }
    }

    /// Moves on at the tick `at`, and keeps its life when that changes.
    pub fn transit(&mut self, holds: bool, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.moves(holds, at) {
            let (name, json) = (self.state_name(), self.life.json());
            effects.push(Effect::Append(Record::State { name, json }));
        }
    }

    /// What is to be sent at `now`, if anything is.
    pub fn notice(&mut self, resend: Duration, now: Timestamp) -> Option<Notice> {
        let fired_at = self.fired_at()?;
        let resolved_at = self.life.resolved_at.map(Timestamp::from_micros);
        let is_over = resolved_at.is_some_and(|at| now.since(at) >= RESOLVED_RETENTION);
        if is_over {
            self.life = Life::default();
            return None;
        }
        let sent_at = self.life.sent_at.map(Timestamp::from_micros);
        // A change is told at once, everything else when it is due again.
        let told = sent_at.filter(|sent| resolved_at.is_none_or(|resolved| *sent >= resolved));
        if told.is_some_and(|told| now.since(told) < resend) {
            return None;
        }
        self.life.sent_at = Some(now.micros());
        let lapse = 4 * resend.max(Duration::from_secs(1));
        let path = match &self.slo {
            Some(slo) => format!("/slo/{slo}?at={fired_at}"),
            None => "/".to_owned(),
        };
        Some(Notice {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: fired_at,
            ends_at: resolved_at.unwrap_or_else(|| now.plus(lapse)),
            resolved: resolved_at.is_some(),
            path,
        })
    }
}

/// Whether the pairs that fire make a page, and whether they make a ticket.
pub fn burn_conditions(slo: &Slo, pairs: &[bool]) -> [bool; 2] {
    let mut fires = [false; 2];
    for (pair, firing) in slo.policy.iter().flat_map(|policy| &policy.pairs).zip(pairs) {
        fires[pair.severity.index()] |= firing;
    }
    fires
}

/// How long nothing known may come before data is missing: three intervals, at least two
/// minutes.
pub fn quiet_after(interval: Duration) -> Duration {
    (3 * interval).max(Duration::from_secs(120))
}

/// Writes the present values into the annotations of the alerts that fire.
pub fn describe(alerts: &mut [Alert], slo: &Slo, status: &SloStatus) {
    for alert in alerts.iter_mut().filter(|alert| alert.is_firing()) {
        let text = match alert.kind {
            AlertKind::BurnFast => burn_text(slo, status, Severity::Page),
            AlertKind::BurnSlow => burn_text(slo, status, Severity::Ticket),
            AlertKind::Exhausted => budget_text(slo, status),
            AlertKind::NoData => {
                "No probe of it has been good or bad for a while; whether it keeps its promise \
                 is unknown."
                    .to_owned()
            }
            AlertKind::Blind | AlertKind::Watchdog => continue,
        };
        alert.annotations.insert("description".to_owned(), text);
    }
}

fn burn_text(slo: &Slo, status: &SloStatus, severity: Severity) -> String {
    let policy = slo.policy.iter().flat_map(|policy| &policy.pairs).zip(&status.pairs);
    let burn = |window: Duration| {
        let burn = status.burns.iter().find(|burn| burn.window == window);
        burn.and_then(|burn| status.burn(burn)).map_or(number::NO_DATA.to_owned(), |(n, d)| {
            crate::model::decimal::fixed(n as i128, d, 1).unwrap_or_default() + "x"
        })
    };
    let firing: Vec<String> = policy
        .filter(|(pair, fires)| **fires && pair.severity == severity)
        .map(|(pair, _)| {
            let (long, short) = (format_duration(pair.long), format_duration(pair.short));
            format!("{} over {long} and {} over {short}", burn(pair.long), burn(pair.short))
        })
        .collect();
    let gone = match status.exhaustion {
        Exhaustion::In(time) if !time.is_zero() => {
            format!(" At this rate it is gone in {}.", number::duration(time))
        }
        _ => String::new(),
    };
    let burning = match firing.is_empty() {
        true => String::new(),
        false => format!("Burning {}. ", firing.join("; ")),
    };
    format!("{burning}{}{gone}", budget_text(slo, status))
}

fn budget_text(slo: &Slo, status: &SloStatus) -> String {
    let budget = &status.budget;
    let counted = budget.counted;
    let sli = number::percent(counted.good, counted.total());
    let window = &slo.window;
    let (bad, total) = (budget.bad_events(), budget.events(counted.total()));
    let coverage = status.coverage;
    let coverage = number::percent_of(coverage.numerator as i128, coverage.denominator);
    let corrected = if status.corrected { ", corrected" } else { "" };
    format!(
        "{sli} good against {objective} over {window} ({bad} bad of {total}{corrected}, coverage \
         {coverage}); {standing}.",
        objective = slo.objective,
        standing = budget.standing(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    const RESEND: Duration = Duration::from_secs(60);

    #[test]
    fn a_firing_alert_is_sent_at_once_and_then_every_resend_delay() {
        let mut alert = watchdog();
        assert!(alert.moves(true, at(100)));
        let sent: Vec<i64> =
            (100..300).filter(|t| alert.notice(RESEND, at(*t)).is_some()).collect();
        assert_eq!(sent, [100, 160, 220, 280]);
    }

    #[test]
    fn a_notice_ends_four_delays_ahead_and_keeps_its_start() {
        let mut alert = watchdog();
        alert.moves(true, at(100));
        let notice = alert.notice(RESEND, at(130)).expect("not sent yet");
        assert_eq!((notice.starts_at, notice.ends_at), (at(100), at(130 + 240)));
        assert!(!notice.resolved);
    }

    #[test]
    fn a_resolved_alert_is_told_at_once_and_for_fifteen_minutes() {
        let mut alert = watchdog();
        alert.moves(true, at(100));
        alert.notice(RESEND, at(100));
        alert.moves(false, at(110));
        let sent: Vec<_> = (110..2_000)
            .filter_map(|t| alert.notice(RESEND, at(t)).map(|notice| (t, notice)))
            .collect();
        assert!(
            sent.iter().all(|(_, n)| n.resolved && n.ends_at == at(110) && n.starts_at == at(100))
        );
        assert_eq!(sent.first().map(|(t, _)| *t), Some(110));
        assert_eq!(sent.last().map(|(t, _)| *t), Some(950));
        assert_eq!(sent.len(), 15);
    }

    #[test]
    fn firing_again_starts_anew() {
        let mut alert = watchdog();
        alert.moves(true, at(100));
        alert.notice(RESEND, at(100));
        alert.moves(false, at(110));
        alert.notice(RESEND, at(110));
        alert.moves(true, at(115));
        let notice = alert.notice(RESEND, at(115)).expect("a change is told at once");
        assert_eq!((notice.starts_at, notice.resolved), (at(115), false));
    }
}

//! What is reported of an SLO that is made of others: their histories, and what they spent
//! together. Worst windows and what single events would show are told of each part alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{History, Past};
use super::{Extent, Kept, MAX_INCIDENTS, Proof, Question, Settlement, SloReport, incidents, rest};
use crate::engine::evaluate::composite::{Account, Joint};
use crate::engine::subject::{Slots, Subject};
use crate::model::budget::Budget;
use crate::model::catalog::Agreement;
use crate::model::window::Period;
use crate::model::{Service, Slo, SloId, Timestamp};

/// The parts of an SLO over one period.
struct Parts<'a> {
    slos: Vec<&'a Slo>,
    histories: Vec<&'a History>,
    pasts: Vec<Past>,
    period: Period,
    until: Timestamp,
}

impl<'a> Parts<'a> {
    fn of(
        service: &'a Service,
        slo: &Slo,
        histories: &'a BTreeMap<SloId, History>,
        nothing: &'a History,
        (period, now): (Period, Timestamp),
    ) -> Self {
        let find = |id: &SloId| service.slos.iter().find(|one| one.id == *id);
        let slos: Vec<&Slo> = slo.parts.iter().filter_map(|part| find(&part.slo)).collect();
        let histories: Vec<&History> =
            slos.iter().map(|one| histories.get(&one.id).unwrap_or(nothing)).collect();
        // The whole is told as far as every part is.
        let until = histories.iter().map(|one| Past::of(one, period, now).until).min();
        let until = until.unwrap_or(period.start);
        let pasts = histories.iter().map(|one| Past::of(one, period, until)).collect();
        Parts { slos, histories, pasts, period, until }
    }

    fn length(&self) -> Duration {
        self.until.since(self.period.start)
    }

    fn subject(&'a self, slo: &'a Slo) -> Subject<'a> {
        let all = self.slos.iter().zip(&self.histories).zip(&self.pasts);
        let slots = all.map(|((slo, history), past)| Slots {
            slo,
            slots: past.slots(),
            intervals: past.intervals(),
            revisions: &history.revisions,
        });
        Subject::several(slo, slots.collect(), self.until)
    }

    fn rests(&self, subject: &Subject<'_>) -> Vec<u64> {
        let all = self.slos.iter().zip(&self.pasts).enumerate();
        all.map(|(n, (slo, past))| rest(subject.judged(n), slo, past)).collect()
    }

    /// How much of the period is known of the part of which least is.
    fn extent(&self, rests: &[u64]) -> Extent {
        let of = |((slo, past), rest): ((&&Slo, &Past), &u64)| Extent::of(past, slo.unknown, *rest);
        let all = self.slos.iter().zip(&self.pasts).zip(rests).map(of);
        let none = Extent {
            counted: Duration::ZERO,
            to_come: Duration::ZERO,
            whole: self.period.length(),
        };
        all.min_by_key(|extent| extent.counted).unwrap_or(none)
    }

    fn account(&self, joint: &Joint<'_>, rests: &[u64]) -> Account {
        joint.account(self.length(), rests, self.period.length())
    }
}

/// What a report says of an SLO that is made of others.
pub(super) fn about<'a>(
    question: &Question<'a>,
    service: &'a Service,
    slo: &'a Slo,
    histories: &BTreeMap<SloId, History>,
) -> SloReport<'a> {
    let nothing = History::default();
    let when = (question.period, question.now);
    let parts = Parts::of(service, slo, histories, &nothing, when);
    let subject = parts.subject(slo);
    let joint = subject.joint(parts.until);
    let rests = parts.rests(&subject);
    let account = parts.account(&joint, &rests);
    let kept = Kept::by(account.accounting, &account.budget);
    let beside = Past::beside(&parts.pasts, parts.period, parts.until);
    let record = joint.record();
    let surely = joint.surely();
    let withstands = account.withstands && surely.is_some();
    let promised = (surely.unwrap_or(slo.objective), slo.mean_outage);
    let proof = Proof::of(&beside, record, promised, withstands, kept);
    let mut told = Vec::new();
    let mut left_out = 0;
    for (n, (one, history)) in parts.slos.iter().zip(&parts.histories).enumerate() {
        let judged = subject.judged(n);
        let (of_part, more) = incidents(judged, one, &history.failures, parts.until);
        left_out += more;
        told.extend(of_part.into_iter().map(|mut incident| {
            let stretch = (parts.length(), &rests[..]);
            incident.bad = joint.cost((n, incident.bad), stretch, &account.budget);
            incident
        }));
    }
    left_out += told.len().saturating_sub(MAX_INCIDENTS);
    told.sort_by_key(|incident| std::cmp::Reverse(incident.bad));
    told.truncate(MAX_INCIDENTS);
    told.sort_by_key(|incident| incident.start);
    let own = histories.get(&slo.id);
    SloReport {
        service,
        slo,
        objective: slo.objective,
        until: parts.until,
        tally: account.tally,
        bounds: account.bounds,
        budget: account.budget,
        extent: parts.extent(&rests),
        coverage: account.coverage,
        kept,
        proof: Proof { singly: None, ..proof },
        incidents: told,
        left_out,
        worst: Vec::new(),
        uptime: beside.uptime(parts.histories.iter().filter_map(|one| one.cutoff).max()),
        revisions: Vec::new(),
        touches: own.map(|own| own.touches.clone()).unwrap_or_default(),
    }
}

/// Settles one period of an agreement on an SLO that is made of others: its share of good is that
/// in which the common budget is told.
pub(super) fn settle(
    agreement: &Agreement,
    (service, slo): (&Service, &Slo),
    histories: &BTreeMap<SloId, History>,
    period: Period,
    now: Timestamp,
) -> Settlement {
    let nothing = History::default();
    let parts = Parts::of(service, slo, histories, &nothing, (period, now));
    let subject = parts.subject(slo);
    let joint = subject.joint(parts.until);
    let rests = parts.rests(&subject);
    let account = parts.account(&joint, &rests);
    let own = &account.budget;
    let agreed = Budget::new(own.counted, agreement.objective, own.window);
    let budget = agreed.with_rest(own.rest).in_parts(own.parts);
    Settlement {
        period,
        until: parts.until,
        tally: account.tally,
        bounds: account.bounds,
        budget,
        extent: parts.extent(&rests),
        coverage: account.coverage,
        kept: Kept::of(&budget, account.tally, slo, account.coverage),
        credit: super::settle::owed(agreement, own.counted),
    }
}

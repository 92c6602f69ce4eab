//! Going on with another catalogue, without a restart.
//!
//! What is declared as before goes on untouched. What it keeps true: a slot that is due before
//! the moment of the change belongs to what was declared then, one that is due later to what is
//! declared now; none belongs to both or to neither; and a restart afterwards finds the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::layout::{self, Line, counted};
use super::restore::Change;
use super::{Effect, Engine, restored_pairs};
use crate::engine::alert;
use crate::engine::identity;
use crate::engine::revision::{Revised, Revision};
use crate::engine::schedule::Grid;
use crate::engine::slices::Slices;
use crate::engine::state::{Account, ProbeState, SloState};
use crate::model::time::micros;
use crate::model::{Catalog, ProbeId, SeriesId, Service, Slo, SloId, Timestamp};

/// Most SLOs that are remembered after they have gone, so that they may come back.
const MAX_ABSENT: usize = 1_000;
/// Most alerts whose end is still told after their SLO has gone.
const MAX_DEPARTED: usize = 10_000;

impl Engine {
    /// Goes on with this catalogue. Slots that are due before `at` are still those of the
    /// catalogue before, wherever they are in flight; what is new or probed at another interval
    /// begins with its first slot from `at` on. No slot that is due later than `at` may have been
    /// handed in. The effects are to be carried out before those of anything later.
    ///
    /// An SLO that promises something else does so from `at` on. An SLO that is new counts from
    /// `at` on; one that comes back goes on where it was. Alerts of SLOs that have gone resolve.
    pub fn reload(
        &mut self,
        catalog: Arc<Catalog>,
        series_of: &BTreeMap<ProbeId, SeriesId>,
        at: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let disturbed = self.replace_probes(&catalog, series_of, at, &mut effects);
        self.replace_slos(&catalog, &disturbed, at, &mut effects);
        self.forget_absent(at);
        self.bring_lines_back();
        effects.extend(self.lay_out());
        self.drop_idle_lines();
        self.book.declare(&catalog);
        effects.extend(self.amend(at));
        self.take_together();
        self.catalog = catalog;
        effects
    }

    /// Slots of this series that are due before `until` are still to come, whatever is declared in
    /// the next reload: of some of them more is known already than may be lost.
    pub fn promise_slots(&mut self, series: SeriesId, until: Timestamp) {
        if let Some(line) = self.line_of.get(&series) {
            self.lines[*line].promised_until = Some(until);
        }
    }

    /// How often a firing alert is sent again from now on.
    pub fn resend_every(&mut self, delay: Duration) {
        self.options.resend_delay = delay;
    }

    /// Exchanges probes and lines; returns the series whose slots are no longer those they were.
    fn replace_probes(
        &mut self,
        catalog: &Catalog,
        series_of: &BTreeMap<ProbeId, SeriesId>,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Vec<SeriesId> {
        let mut disturbed = Vec::new();
        let mut lines: BTreeMap<SeriesId, Line> =
            std::mem::take(&mut self.lines).into_iter().map(|l| (l.roll.series(), l)).collect();
        let mut probes: BTreeMap<SeriesId, ProbeState> =
            std::mem::take(&mut self.probes).into_iter().map(|p| (p.series, p)).collect();
        self.line_of.clear();
        for service in &catalog.services {
            for probe in &service.probes {
                let Some(&series) = series_of.get(&probe.id) else { continue };
                let mut line =
                    lines.remove(&series).unwrap_or_else(|| Line::new(series, probe.interval));
                line.count_by(probe);
                let was = probes.remove(&series);
                let grid = Grid::of(probe, &self.options.vantage);
                let known = was.as_ref().map(|was| Grid::of(&was.probe, &self.options.vantage));
                let at = line.promised_until.take().map_or(at, |until| until.max(at));
                let mut torn = None;
                if known != Some(grid) {
                    let first = grid.first_due_at_or_after(at);
                    let change = Change {
                        before: micros(line.roll.step()).unsigned_abs(),
                        at: at.micros(),
                        first: first.micros(),
                        step: micros(probe.interval).unsigned_abs(),
                    };
                    let (roll, step) = (&mut line.roll, probe.interval);
                    match line.torn_at.take() {
                        Some(next) => torn = Some(roll.come_back(next, (at, first), step)),
                        None => roll.turn(at, first, step),
                    }
                    effects.push(Effect::Append(change.record(series)));
                    disturbed.push(series);
                }
                let mut state =
                    was.unwrap_or_else(|| self.probe_state(probe, series, &service.slos));
                state.probe = probe.clone();
                state.counters.measure_by(&layout::thresholds(probe, &service.slos));
                self.probes.push(state);
                let line = self.add_line(line);
                if let Some(taken) = torn {
                    self.not_running(line, &taken, effects);
                    self.slice_anew(series);
                }
            }
        }
        for (series, mut line) in lines {
            let at = line.promised_until.take().map_or(at, |until| until.max(at));
            if probes.contains_key(&series) {
                line.roll.end(at);
            }
            self.add_line(line);
        }
        disturbed
    }

    /// Slices that this series is part of are made anew from the slots.
    fn slice_anew(&mut self, series: SeriesId) {
        for state in self.slos.iter_mut().filter(|s| s.account.series.contains(&series)) {
            state.slices = state.slices.as_ref().map(|_| Slices::default());
        }
    }

    /// Exchanges SLOs.
    fn replace_slos(
        &mut self,
        catalog: &Catalog,
        disturbed: &[SeriesId],
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let (series_of, checks) = (self.series_of(), identity::of_probes(catalog.probes()));
        let mut before: BTreeMap<SloId, SloState> =
            std::mem::take(&mut self.slos).into_iter().map(|s| (s.slo.id.clone(), s)).collect();
        self.slo_of.clear();
        for (service, slo) in catalog.slos() {
            let mut state = match before.remove(&slo.id) {
                Some(state) if state.slo.is_composite() == slo.is_composite() => {
                    self.go_on(state, slo, service, at)
                }
                was => {
                    was.into_iter().for_each(|state| self.let_go(state, at, effects));
                    self.take_up(slo, service, at)
                }
            };
            if slo.is_composite() {
                // What it is made of has promises and a history; it has none of its own.
                self.slo_of.insert(slo.id.clone(), self.slos.len());
                self.slos.push(state);
                continue;
            }
            let revision = Revision::new(slo, counted(slo, &series_of), &checks, at);
            if revision.probes.iter().any(|(series, _)| disturbed.contains(series)) {
                state.disturbed = Some(at);
            }
            let Revised { changed, joined } = state.account.revisions.revise(revision);
            self.stats.joined_revisions += u64::from(joined);
            if changed {
                effects.push(Effect::Append(state.account.revisions.record(&slo.id)));
            }
            self.slo_of.insert(slo.id.clone(), self.slos.len());
            self.slos.push(state);
        }
        for (_, state) in before {
            self.let_go(state, at, effects);
        }
        self.forget_departed();
    }

    /// An SLO that was declared before.
    fn go_on(&mut self, before: SloState, slo: &Slo, service: &Service, at: Timestamp) -> SloState {
        let mut state = layout::state(slo, service);
        let same_policy = before.slo.policy == slo.policy;
        let slices = |slo: &Slo| (slo.method, slo.window.clone(), slo.unknown);
        let same_slices = slices(&before.slo) == slices(slo);
        let SloState { status, alerts, account, disturbed, union, .. } = before;
        (state.amendments, state.amended, state.amended_intervals) =
            (before.amendments, before.amended, before.amended_intervals);
        (state.laid_over, state.amended_epoch) = (before.laid_over, before.amended_epoch);
        (state.shift, state.counted_until, state.ongoing) =
            (before.shift, before.counted_until, before.ongoing);
        if same_slices {
            // Else they are made anew from the slots: a slice is judged in one way only.
            state.slices = before.slices;
        }
        // Of parts it is taken together anew once they are there.
        state.union = union;
        (state.status, state.disturbed) = (status, disturbed);
        state.account = Account { memory: state.account.memory, ..account };
        for alert in alerts {
            let next = state.alerts.iter_mut().find(|next| next.kind == alert.kind);
            match next {
                Some(next) if next.labels == alert.labels => next.go_on(alert),
                // Under other labels it is another alert to everybody outside.
                Some(next) => {
                    next.life = alert.life.unsent();
                    self.departed.extend(alert.departed(at));
                }
                None => self.departed.extend(alert.departed(at)),
            }
        }
        if let (false, Some(_)) = (same_policy, &state.status) {
            let pairs = restored_pairs(&state);
            state.status.iter_mut().for_each(|status| status.pairs.clone_from(&pairs));
        }
        state
    }

    /// An SLO that is new, or comes back.
    fn take_up(&mut self, slo: &Slo, service: &Service, at: Timestamp) -> SloState {
        let mut state = layout::state(slo, service);
        let account = self.absent.remove(&slo.id).filter(|_| !slo.is_composite());
        if let Some(account) = account {
            state.account = Account { memory: state.account.memory, ..account };
        }
        for alert in &mut state.alerts {
            // Its end may still have to be told.
            let gone = self.departed.iter().find(|gone| gone.labels == alert.labels);
            alert.life = gone.map(|gone| gone.life).unwrap_or_default();
        }
        state.disturbed = Some(at);
        state
    }

    /// An SLO that is not declared any more.
    fn let_go(&mut self, state: SloState, at: Timestamp, effects: &mut Vec<Effect>) {
        let SloState { slo, alerts, mut account, .. } = state;
        for alert in alerts {
            if alert.is_firing() {
                let resolved = alert::resolved_state(alert.state_name(), alert.life, at);
                effects.push(Effect::Append(resolved));
            }
            self.departed.extend(alert.departed(at));
        }
        if slo.is_composite() {
            return;
        }
        account.revisions.withdraw(at);
        effects.push(Effect::Append(account.revisions.record(&slo.id)));
        self.absent.insert(slo.id, account);
    }

    /// An alert that is declared again tells its own end; and there is a bound.
    fn forget_departed(&mut self) {
        if self.departed.is_empty() {
            return;
        }
        let declared = self.slos.iter().flat_map(|state| &state.alerts);
        let declared: BTreeSet<_> = declared.map(|alert| &alert.labels).collect();
        self.departed.retain(|gone| !declared.contains(&gone.labels));
        let over = self.departed.len().saturating_sub(MAX_DEPARTED);
        self.departed.drain(..over);
    }

    /// Forgets SLOs that have been gone for so long that nothing of them counts any more, and the
    /// longest gone of those that are too many.
    pub(super) fn forget_absent(&mut self, now: Timestamp) {
        let gone_at = |account: &Account| {
            account.revisions.all().last().map_or(Timestamp::MIN, |revision| revision.from)
        };
        self.absent.retain(|_, account| {
            let last = account.revisions.all().last();
            let window = last.map_or(Duration::ZERO, |revision| revision.window.longest());
            account.memory = account.memory.max(window);
            now.since(gone_at(account)) <= account.memory
        });
        while self.absent.len() > MAX_ABSENT {
            let oldest = self.absent.iter().min_by_key(|(_, account)| gone_at(account));
            let Some(oldest) = oldest.map(|(slo, _)| slo.clone()) else { break };
            self.absent.remove(&oldest);
        }
    }

    /// Lets lines go that feed nothing and of which nothing is open.
    fn drop_idle_lines(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let n = self.probes.len();
        let needed = |(at, line): &(usize, Line)| {
            *at < n || !line.feeds.is_empty() || !line.roll.is_complete() || line.roll.is_open()
        };
        let kept: Vec<Line> =
            lines.into_iter().enumerate().filter(needed).map(|(_, line)| line).collect();
        self.line_of = kept.iter().zip(0..).map(|(l, at)| (l.roll.series(), at)).collect();
        self.lines = kept;
        let accounts = self.slos.iter_mut().map(|state| &mut state.account);
        for account in accounts.chain(self.absent.values_mut()) {
            account.lines = account.series.iter().map(|series| self.line_of[series]).collect();
        }
    }
}

#[cfg(test)]
mod tests;

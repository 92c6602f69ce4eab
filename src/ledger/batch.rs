//! One group commit of observations and gaps as one body, and back.
//!
//! Each field has its own column of variable-length differences, because columns of like
//! things deflate far better than rows. Times and durations are whole microseconds; anything
//! finer is dropped. Arrival order is kept.

use std::sync::Arc;
use std::time::Duration;

use super::pack::{Cursor, Keep, pack, put, put_signed, unpack};
use super::shape::{put_verdict, take_verdict};
use crate::model::{Observation, Phases, Record, Run, SeriesId, Timestamp, Verdict};

/// The columns' format; a reader refuses a newer one.
pub(super) const FORMAT: i64 = 1;

/// Most entries in one row: bounds what a reader holds, and what one damaged row loses.
pub(super) const MAX_ENTRIES: usize = 16_384;

const GAP: u8 = 1;
const LATENCY: u8 = 2;
const DETAIL: u8 = 4;
const CERTIFICATE: u8 = 8;
const PHASES: u8 = 16;

/// What a batch is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Observation(Observation),
    Gap(SeriesId, Run),
}

/// A batch as it is stored.
#[derive(Debug)]
pub(super) struct Batch {
    pub first_due: i64,
    pub last_due: i64,
    pub n: i64,
    pub body: Vec<u8>,
}

/// Gathers entries into one batch.
#[derive(Default)]
pub(super) struct Encoder {
    columns: Columns,
    last: Last,
    span: Option<(i64, i64)>,
    n: usize,
}

#[derive(Default)]
struct Columns {
    flags: Vec<u8>,
    verdict: Vec<u8>,
    series: Vec<u8>,
    due: Vec<u8>,
    lag: Vec<u8>,
    latency: Vec<u8>,
    phases: Vec<u8>,
    detail: Vec<u8>,
    certificate: Vec<u8>,
    gap: Vec<u8>,
}

impl Columns {
    fn in_order(&self) -> [&Vec<u8>; 10] {
        let Columns { flags, verdict, series, due, lag, latency, phases, .. } = self;
        let Columns { detail, certificate, gap, .. } = self;
        [flags, verdict, series, due, lag, latency, phases, detail, certificate, gap]
    }
}

/// What the next difference is taken from.
#[derive(Default)]
struct Last {
    series: i64,
    due: i64,
    certificate: i64,
}

impl Encoder {
    pub fn n(&self) -> usize {
        self.n
    }

    /// Adds an observation or a gap; other records are not for batches and are left out.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::Observation(observation) => self.observation(observation),
            Record::Gap(series, run) => self.gap(*series, run),
            Record::Slice(_) | Record::State { .. } => {}
        }
    }

    fn observation(&mut self, o: &Observation) {
        let c = &mut self.columns;
        let mut flags = 0;
        if let Some(latency) = o.latency {
            flags |= LATENCY;
            put(&mut c.latency, micros(latency));
        }
        if o.phases != Phases::default() {
            flags |= PHASES;
            o.phases.durations().iter().for_each(|d| put(&mut c.phases, micros(*d)));
        }
        if let Some(detail) = &o.detail {
            flags |= DETAIL;
            let text = shortened(detail);
            put(&mut c.detail, text.len() as u64);
            c.detail.extend_from_slice(text.as_bytes());
        }
        if let Some(at) = o.certificate_not_after {
            flags |= CERTIFICATE;
            put_signed(&mut c.certificate, at.micros().wrapping_sub(self.last.certificate));
            self.last.certificate = at.micros();
        }
        put(&mut c.lag, micros(o.lag));
        self.common(flags, o.series, o.due, o.verdict);
        self.cover(o.due, o.due);
    }

    fn gap(&mut self, series: SeriesId, run: &Run) {
        let column = &mut self.columns.gap;
        put(column, micros(run.step));
        put(column, run.n.into());
        column.push(run.class);
        self.common(GAP, series, run.start, run.verdict);
        self.cover(run.start, last_slot(run));
    }

    fn common(&mut self, flags: u8, series: SeriesId, due: Timestamp, verdict: Verdict) {
        let c = &mut self.columns;
        c.flags.push(flags);
        put_verdict(&mut c.verdict, verdict);
        put_signed(&mut c.series, i64::from(series.0) - self.last.series);
        put_signed(&mut c.due, due.micros().wrapping_sub(self.last.due));
        self.last.series = series.0.into();
        self.last.due = due.micros();
    }

    fn cover(&mut self, first: Timestamp, last: Timestamp) {
        let (first, last) = (first.micros(), last.micros());
        let (a, b) = self.span.unwrap_or((first, last));
        self.span = Some((a.min(first), b.max(last)));
        self.n += 1;
    }

    /// The batch; none when nothing was added.
    pub fn finish(self) -> Option<Batch> {
        let (first_due, last_due) = self.span?;
        let mut raw = Vec::new();
        let columns = self.columns.in_order();
        columns.iter().for_each(|c| put(&mut raw, c.len() as u64));
        columns.iter().for_each(|c| raw.extend_from_slice(c));
        Some(Batch { first_due, last_due, n: self.n as i64, body: pack(&raw, Keep::Briefly) })
    }
}

/// As much of a detail as is kept: whole characters of the first [`Observation::MAX_DETAIL`]
/// bytes.
fn shortened(detail: &str) -> &str {
    let ends = (0..=Observation::MAX_DETAIL.min(detail.len())).rev();
    let end = ends.into_iter().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
    &detail[..end]
}

/// When the last slot of a run is due.
pub(super) fn last_slot(run: &Run) -> Timestamp {
    run.start.plus(run.step.saturating_mul(run.n.saturating_sub(1)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Reads a body back into `entries`; none if it is not one that [`Encoder`] wrote.
pub(super) fn decode(
    body: &[u8],
    n: i64,
    scratch: &mut Vec<u8>,
    entries: &mut Vec<Entry>,
) -> Option<()> {
    entries.clear();
    let mut raw = Cursor(unpack(body, scratch)?);
    let mut lengths = [0; 10];
    for length in &mut lengths {
        *length = raw.count()?;
    }
    let mut columns = [(); 10].map(|()| Cursor(&[]));
    for (column, length) in columns.iter_mut().zip(lengths) {
        *column = Cursor(raw.bytes(length)?);
    }
    let n = usize::try_from(n).ok().filter(|n| *n == lengths[0] && *n <= MAX_ENTRIES)?;
    entries.reserve(n);
    let mut last = Last::default();
    for _ in 0..n {
        entries.push(entry(&mut columns, &mut last)?);
    }
    (raw.is_empty() && columns.iter().all(Cursor::is_empty)).then_some(())
}

fn entry(columns: &mut [Cursor<'_>; 10], last: &mut Last) -> Option<Entry> {
    let [flags, verdict, series, due, lag, latency, phases, detail, certificate, gap] = columns;
    let flags = flags.byte()?;
    let verdict = take_verdict(verdict)?;
    last.series = last.series.checked_add(series.signed()?)?;
    let series = SeriesId(u32::try_from(last.series).ok()?);
    last.due = last.due.wrapping_add(due.signed()?);
    let due = Timestamp::from_micros(last.due);
    let duration = |cursor: &mut Cursor<'_>| cursor.take().map(Duration::from_micros);
    if flags == GAP {
        let (step, n) = (duration(gap)?, u32::try_from(gap.take()?).ok()?);
        let class = gap.byte()?;
        return Some(Entry::Gap(series, Run { start: due, step, n, verdict, class }));
    }
    let latency = if flags & LATENCY == 0 { None } else { Some(duration(latency)?) };
    let phases = if flags & PHASES == 0 {
        Phases::default()
    } else {
        let mut next = || duration(phases);
        let (dns, connect, tls) = (next()?, next()?, next()?);
        Phases { dns, connect, tls, send: next()?, wait: next()?, receive: next()? }
    };
    let detail = if flags & DETAIL == 0 {
        None
    } else {
        let n = detail.count()?;
        Some(Arc::from(std::str::from_utf8(detail.bytes(n)?).ok()?))
    };
    let certificate_not_after = if flags & CERTIFICATE == 0 {
        None
    } else {
        last.certificate = last.certificate.wrapping_add(certificate.signed()?);
        Some(Timestamp::from_micros(last.certificate))
    };
    let lag = duration(lag)?;
    Some(Entry::Observation(Observation {
        series,
        due,
        lag,
        latency,
        phases,
        verdict,
        detail,
        certificate_not_after,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests::any_entry;

    fn encode(entries: &[Entry]) -> Option<Batch> {
        let mut encoder = Encoder::default();
        for entry in entries.iter().cloned() {
            encoder.push(&match entry {
                Entry::Observation(o) => Record::Observation(o),
                Entry::Gap(series, run) => Record::Gap(series, run),
            });
        }
        encoder.finish()
    }

    proptest! {
        #[test]
        fn batches_survive_in_arrival_order(entries in prop::collection::vec(any_entry(), 1..50)) {
            let batch = encode(&entries).expect("not empty");
            let mut read = Vec::new();
            prop_assert_eq!(decode(&batch.body, batch.n, &mut Vec::new(), &mut read), Some(()));
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn noise_is_refused_without_a_panic(raw: Vec<u8>, n in 0_i64..50) {
            let _ = decode(&pack(&raw, Keep::Briefly), n, &mut Vec::new(), &mut Vec::new());
        }

        #[test]
        fn a_batch_knows_its_first_and_last_due(
            entries in prop::collection::vec(any_entry(), 1..20),
        ) {
            let batch = encode(&entries).expect("not empty");
            for entry in entries {
                let (first, last) = match entry {
                    Entry::Observation(o) => (o.due, o.due),
                    Entry::Gap(_, run) => (run.start, last_slot(&run)),
                };
                prop_assert!(batch.first_due <= first.micros());
                prop_assert!(batch.last_due >= last.micros());
            }
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let long = format!("{}ä", "x".repeat(Observation::MAX_DETAIL - 1));
        assert_eq!(shortened(&long), "x".repeat(Observation::MAX_DETAIL - 1));
        assert_eq!(shortened("short: ä"), "short: ä");
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(encode(&[]).is_none());
    }
}

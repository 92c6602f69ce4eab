//! A ledger from its text: all of it, in one transaction, or nothing.

use std::io::BufRead;

use rusqlite::{Transaction, params};

use super::batch::{Encoder, Entry, MAX_ENTRIES};
use super::dump::{self, Begin, Broken, DamageLine, Line, SCHEMA, SliceLine};
use super::head::Head;
use super::prepared::SliceRow;
use super::shape::{encode_latencies, encode_runs};
use super::store::{self, Shelves};
use super::{Ledger, LedgerError};
use crate::model::{Observation, Record, Run, Timestamp};

/// Why a text was not taken in.
enum Refusal {
    Text(Broken),
    Sql(rusqlite::Error),
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        Refusal::Text(broken)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Refusal::Sql(error)
    }
}

impl Ledger {
    /// Takes in what [`super::Reader::export`] wrote; how many lines that were. The ledger must be
    /// empty, and has the epoch of the exported one afterwards.
    ///
    /// # Errors
    /// The ledger is not empty, the text is not whole or not of this form, or the disk does not
    /// take it. Nothing has changed then.
    pub fn import(&mut self, input: &mut dyn BufRead) -> Result<u64, LedgerError> {
        if self.head != (Head { commits: 0, ..Head::new(self.head.epoch.clone()) }) {
            return Err(LedgerError::NotEmpty(self.path.clone()));
        }
        let mut broken = None;
        let ((head, lines), _) = self
            .transact("import into", |tx| {
                let mut import = Import::new(tx);
                let lines = dump::read(input, |line| import.take(line))
                    .and_then(|lines| import.finish().map(|head| (head, lines)));
                lines.map_err(|refusal| match refusal {
                    Refusal::Sql(error) => error,
                    Refusal::Text(why) => {
                        broken = Some(why);
                        rusqlite::Error::QueryReturnedNoRows
                    }
                })
            })
            .map_err(|error| match broken.take() {
                Some(broken) => LedgerError::Broken(broken),
                None => error,
            })?;
        self.head = head;
        self.frontier = None;
        self.damage.clear();
        self.load()?;
        Ok(lines)
    }
}

struct Import<'a> {
    tx: &'a Transaction<'a>,
    begin: Option<Begin>,
    head: Head,
    shelves: Shelves,
    /// The batch whose entries are being read.
    batch: Option<(i64, Encoder)>,
    line: u64,
}

impl<'a> Import<'a> {
    fn new(tx: &'a Transaction<'a>) -> Self {
        let head = Head::default();
        Import { tx, begin: None, head, shelves: Shelves::new(), batch: None, line: 0 }
    }

    fn broken(&self, why: impl Into<String>) -> Refusal {
        Refusal::Text(Broken { line: self.line, why: why.into() })
    }

    fn take(&mut self, line: Line) -> Result<(), Refusal> {
        self.line += 1;
        let seq = match &line {
            Line::Observation(line) => Some(line.seq),
            Line::Gap(line) => Some(line.seq),
            _ => None,
        };
        if self.batch.as_ref().is_some_and(|(open, _)| Some(*open) != seq) {
            self.close_batch()?;
        }
        match line {
            Line::Ledger(begin) => self.begin(begin),
            _ if self.begin.is_none() => Err(self.broken("the first line must be `ledger`")),
            Line::Series { id, probe, vantage } => {
                if i64::from(id) < self.head.next_series {
                    return Err(self.broken("a series is there twice or out of order"));
                }
                self.head.next_series = id.into();
                Ok(store::put_series(self.tx, &mut self.head, &(probe, vantage))?)
            }
            Line::State { name, json } => {
                Ok(store::put_state(self.tx, &mut self.head, &name, &json)?)
            }
            Line::Damage(line) => self.damage(&line),
            Line::Slice(line) => self.slice(&line),
            Line::Observation(line) => self.entry(line.seq, Entry::from(&line)),
            Line::Gap(line) => self.entry(line.seq, Entry::from(&line)),
            Line::End { .. } => Err(self.broken("a second last line")),
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<(), Refusal> {
        if begin.schema != SCHEMA {
            let why = format!("it is {:?}, and this nines reads {SCHEMA:?}", begin.schema);
            return Err(self.broken(why));
        }
        let epoch = unhex(&begin.epoch).filter(|_| self.begin.is_none());
        let epoch = epoch.ok_or_else(|| self.broken("a damaged or second beginning"))?;
        let first_seq = begin.first_seq;
        self.head = Head { first_seq, last_seq: first_seq - 1, ..Head::new(epoch) };
        self.begin = Some(begin);
        Ok(())
    }

    fn slice(&mut self, line: &SliceLine) -> Result<(), Refusal> {
        let runs: Vec<Run> = line.runs.iter().map(Into::into).collect();
        let latencies = line.latencies.as_ref().map(|line| line.latencies());
        let row = SliceRow {
            series: line.series.into(),
            from: line.from,
            to: line.to,
            body: encode_runs(Timestamp::from_micros(line.from), &line.thresholds, &runs),
            latencies: latencies.as_ref().and_then(encode_latencies),
        };
        Ok(store::put_slice(self.tx, &mut self.head, &mut self.shelves, &row)?)
    }

    fn entry(&mut self, seq: i64, entry: Entry) -> Result<(), Refusal> {
        if seq <= self.head.last_seq {
            return Err(self.broken("a batch is there twice or out of order"));
        }
        let (_, encoder) = self.batch.get_or_insert_with(|| (seq, Encoder::default()));
        let long = |o: &Observation| {
            o.detail.as_ref().is_some_and(|detail| detail.len() > Observation::MAX_DETAIL)
        };
        if encoder.n() == MAX_ENTRIES {
            return Err(self.broken("a batch is too long"));
        }
        let record = match entry {
            Entry::Observation(o) if long(&o) => return Err(self.broken("a detail is too long")),
            Entry::Observation(o) => Record::Observation(o),
            Entry::Gap(series, run) => Record::Gap(series, run),
        };
        encoder.push(&record);
        Ok(())
    }

    fn close_batch(&mut self) -> Result<(), Refusal> {
        if let Some((seq, encoder)) = self.batch.take()
            && let Some(batch) = encoder.finish()
        {
            self.head.last_seq = seq - 1;
            store::put_batch(self.tx, &mut self.head, &batch)?;
        }
        Ok(())
    }

    fn damage(&mut self, line: &DamageLine) -> Result<(), Refusal> {
        let body = line
            .body
            .as_deref()
            .map(|text| unhex(text).ok_or_else(|| self.broken("a body is not hexadecimal")));
        let body = body.transpose()?;
        let DamageLine { part, first_seq, last_seq, series, from, to, why, .. } = line;
        let sql = "INSERT INTO quarantine(part, first_seq, last_seq, series, \"from\", \"to\", \
                   why, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = params![part, first_seq, last_seq, series, from, to, why, body];
        self.tx.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<Head, Refusal> {
        self.close_batch()?;
        let begin = self.begin.take().ok_or_else(|| self.broken("it is empty"))?;
        let (last, next) = (begin.last_seq, begin.next_series);
        if last < self.head.last_seq || next < self.head.next_series {
            return Err(self.broken("there is more than the first line says"));
        }
        (self.head.last_seq, self.head.next_series) = (last, next);
        store::settle(self.tx, &mut self.head, &self.shelves)?;
        Ok(self.head.clone())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks(2).map(byte).collect())?
}

//! `nines ledger`: look at all of a ledger, write it out as text, read that back.
//!
//! Looking and writing out may be done while a daemon writes; reading back needs a ledger that
//! nobody has.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::ledger::{Damage, Ledger, Options, Reader, SeriesExtent, Verified};
use crate::model::Timestamp;

use super::Format;

/// What is done to a ledger.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every row and every page, and say what there is. Ends with code 1 on damage.
    Verify {
        #[command(flatten)]
        ledger: Storage,
        /// How the report is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write all of it as text, one JSON object a line, exact. Ends with code 1 on damage.
    Export {
        #[command(flatten)]
        ledger: Storage,
        /// The file to write, which comes into being when it is complete; `-` is stdout.
        #[arg(long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
    },
    /// Read what `export` wrote into a new or empty ledger: all of it, or nothing.
    Import {
        #[command(flatten)]
        ledger: Storage,
        /// The file to read; `-` is stdin.
        #[arg(long, value_name = "FILE", default_value = "-")]
        input: PathBuf,
    },
    /// Save what can be read of a ledger that `run` refuses as damaged into a new one.
    Rescue {
        #[command(flatten)]
        ledger: Storage,
        /// The new ledger's directory.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Which ledger.
#[derive(Clone, Debug, Args)]
pub struct Storage {
    /// The ledger's directory.
    #[arg(long = "storage.path", value_name = "DIR", default_value = "nines-data")]
    path: PathBuf,
}

/// Does it; the exit code.
///
/// # Errors
/// The ledger cannot be read or written, or a text is not what it should be.
pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Verify { ledger, format } => verify(&ledger.path, *format, out),
        Command::Export { ledger, output } => export(&ledger.path, output, out),
        Command::Rescue { ledger, to } => rescue(&ledger.path, to, out).map(|()| 0),
        Command::Import { ledger, input } => import(&ledger.path, input, out).map(|()| 0),
    }
}

fn reader(path: &Path) -> anyhow::Result<Reader> {
    Ok(Reader::open(path)?)
}

fn verify(path: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let found = reader(path)?.verify()?;
    match format {
        Format::Json => writeln!(out, "{}", report(&found))?,
        Format::Table => table(path, &found, out)?,
    }
    Ok(u8::from(!found.damage.is_empty()))
}

fn report(found: &Verified) -> Value {
    let series = found.series.iter().map(|(id, extent)| {
        let SeriesExtent { name, slots, from, to } = extent;
        let (probe, vantage) = name.clone().unzip();
        json!({
            "id": id.0,
            "probe": probe,
            "vantage": vantage,
            "good": slots.good,
            "bad": slots.bad,
            "unknown": slots.unknown,
            "excluded": slots.excluded,
            "from": time(*from),
            "to": time(*to),
        })
    });
    json!({
        "schema": "nines.ledger-verify/v1",
        "whole": found.damage.is_empty(),
        "epoch": found.epoch,
        "first_batch": found.batches.map(|(first, _)| first),
        "last_batch": found.batches.map(|(_, last)| last),
        "slices": found.slices,
        "histograms": found.latencies,
        "states": found.states,
        "series": series.collect::<Value>(),
        "damage": found.damage.iter().map(damage).collect::<Value>(),
        "set_aside": found.known.iter().map(damage).collect::<Value>(),
    })
}

fn damage(damage: &Damage) -> Value {
    json!({
        "part": damage.part.word(),
        "first_batch": damage.seqs.map(|(first, _)| first),
        "last_batch": damage.seqs.map(|(_, last)| last),
        "series": damage.series.map(|series| series.0),
        "from": time(damage.from),
        "to": time(damage.to),
        "why": damage.why,
    })
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn table(path: &Path, found: &Verified, out: &mut dyn Write) -> std::io::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["SERIES", "PROBE", "VANTAGE", "GOOD", "BAD", "UNKNOWN", "FROM", "TO"]);
    for (id, extent) in &found.series {
        let lost = || ("(name lost)".to_owned(), String::new());
        let (probe, vantage) = extent.name.clone().unwrap_or_else(lost);
        let [good, bad, unknown] =
            [extent.slots.good, extent.slots.bad, extent.slots.unknown].map(|n| n.to_string());
        let [from, to] = [extent.from, extent.to].map(|at| time(at).unwrap_or("-".to_owned()));
        table.add_row([id.0.to_string(), probe, vantage, good, bad, unknown, from, to]);
    }
    writeln!(out, "{}", super::slo::trim_lines(&table))?;
    let batches =
        found.batches.map_or("no batches".to_owned(), |(a, b)| format!("batches {a} to {b}"));
    writeln!(
        out,
        "{}: {batches}, {} slices, {} histograms, {} states",
        path.display(),
        found.slices,
        found.latencies,
        found.states,
    )?;
    for damage in &found.known {
        writeln!(out, "set aside earlier: {damage}")?;
    }
    for damage in &found.damage {
        writeln!(out, "damaged: {damage}")?;
    }
    let n = found.damage.len();
    match n {
        0 => writeln!(out, "whole: every row, every page and the books agree"),
        n => writeln!(out, "{n} damaged; the next start sets them aside and goes on"),
    }
}

fn export(path: &Path, output: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let reader = reader(path)?;
    let done = if output.as_os_str() == "-" {
        reader.export(&mut BufWriter::new(out))?
    } else {
        // Under another name until it is complete and durable: half an export is none.
        let mut name = output.file_name().context("--output names no file")?.to_owned();
        name.push(".partial");
        let partial = output.with_file_name(name);
        let cannot = || format!("cannot write {}", output.display());
        let mut file = BufWriter::new(File::create(&partial).with_context(cannot)?);
        let done = reader.export(&mut file);
        let kept = done.map_err(anyhow::Error::from).and_then(|done| {
            file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
            std::fs::rename(&partial, output)?;
            Ok(done)
        });
        if kept.is_err() {
            // What is left of it is of no use; the error is what matters.
            let _ = std::fs::remove_file(&partial);
        }
        kept.with_context(cannot)?
    };
    for damage in &done.damage {
        eprintln!("nines: not in the export: {damage}");
    }
    eprintln!("nines: {} lines", done.lines);
    Ok(u8::from(!done.damage.is_empty()))
}

fn import(path: &Path, input: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut text: Box<dyn BufRead> = if input.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(input).with_context(|| format!("cannot open {}", input.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut ledger = Ledger::open(path, Options { reserve_bytes: 0, ..Options::default() })?;
    let lines = ledger.import(&mut text).with_context(|| format!("in {}", input.display()))?;
    ledger.close()?;
    writeln!(out, "{lines} lines are in {}", path.display())?;
    Ok(())
}

fn rescue(path: &Path, to: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let done = Ledger::rescue(path, to)?;
    for damage in &done.damage {
        writeln!(out, "lost: {damage}")?;
    }
    writeln!(out, "{} lines are in {}; {} is as it was", done.lines, to.display(), path.display())?;
    Ok(())
}

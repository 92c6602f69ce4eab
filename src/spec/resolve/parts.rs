//! Checks that several parts share: lengths of time, labels, and the operator's limits.

use std::time::Duration;

use super::{Context, raw};
use crate::model::Service;
use crate::model::time::format_duration;
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::{At, Place, Problems};

/// A length of time between two bounds, both included.
pub(in crate::spec) fn within(
    given: &Given<Duration>,
    (least, most): (Duration, Duration),
    problems: &mut Problems,
) -> Option<Duration> {
    if (least..=most).contains(&given.value) {
        return Some(given.value);
    }
    let (least, most) = (format_duration(least), format_duration(most));
    problems
        .error(&given.at, format!("{} is out of bounds", format_duration(given.value)))
        .expected(format!("a duration from {least} to {most}"));
    None
}

/// A length of time in whole seconds, at least one: windows end at whole seconds.
pub(super) fn whole_seconds(
    at: &At,
    length: Duration,
    most: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    let given = Given { value: length, at: at.clone() };
    let length = within(&given, (Duration::from_secs(1), most), problems)?;
    if length.subsec_nanos() == 0 {
        return Some(length);
    }
    let message = format!("{} is not a whole number of seconds", format_duration(length));
    problems.error(at, message).expected("a duration in whole seconds");
    None
}

/// Whether a label's name is one for Prometheus (`[a-zA-Z_][a-zA-Z0-9_]*`, and `__` is reserved).
pub(in crate::spec) fn is_label_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|b| letter(*b))
        && bytes.iter().all(|b| letter(*b) || b.is_ascii_digit())
        && !name.starts_with("__")
}

/// Reports what goes beyond the operator's limits.
pub(super) fn limits(raws: &[raw::Service], built: &[Option<Service>], cx: &mut Context) {
    let limits = cx.options.limits;
    let (mut n_probes, mut n_slos) = (0_usize, 0_usize);
    let (mut last_probe, mut last_slo) = (None, None);
    for spec in raws.iter().filter_map(|service| service.spec.value()) {
        if let Field::Given(probes) = &spec.probes {
            n_probes += probes.value.items.len();
            last_probe = Some(probes.at.clone());
        }
        if let Field::Given(slos) = &spec.slos {
            n_slos += slos.value.items.len();
            last_slo = Some(slos.at.clone());
        }
    }
    let whole = || At::bare(Place::file(0));
    let mut over = |n: usize, most: usize, what: &str, key: &str, at: Option<At>| {
        if n > most {
            let hint = format!("raise `limits.{key}` in the operator's config, or declare fewer");
            let message = format!("{n} {what}, more than the {most} that are allowed");
            cx.problems.error(&at.unwrap_or_else(whole), message).hint(hint);
        }
    };
    over(n_probes, limits.probes, "probes", "probes", last_probe.clone());
    over(n_slos, limits.slos, "SLOs", "slos", last_slo);
    // Starts a second in parts per million, so that slow probes are not lost in rounding.
    let probes = built.iter().flatten().flat_map(|service| &service.probes);
    let starts = probes.map(|probe| 10_u128.pow(12) / probe.interval.as_micros().max(1));
    let per_second =
        usize::try_from(starts.sum::<u128>().div_ceil(1_000_000)).unwrap_or(usize::MAX);
    let most = limits.starts_per_second as usize;
    over(per_second, most, "probe starts a second", "startsPerSecond", last_probe);
}

//! Alert policies: pairs of windows over which a burning budget is told.

use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::objective::{PPB, Share};

/// How loud an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// Somebody looks at it during working hours.
    Ticket,
}

impl Severity {
    /// Both severities, the louder first.
    pub const ALL: [Severity; 2] = [Severity::Page, Severity::Ticket];

    /// The word in the spec language.
    pub const fn word(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }

    /// Position in [`Severity::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Fires while the long window has spent more than its share of the budget and the short
/// window says that it is still going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// How loud.
    pub severity: Severity,
    /// The window that decides.
    pub long: Duration,
    /// The window that ends the alert soon after the trouble has ended; at most `long`, and
    /// equal to it where one window decides alone.
    pub short: Duration,
    /// What must be exceeded.
    pub limit: Limit,
    /// For how long it must hold at every tick before the pair fires.
    pub hold: Duration,
}

/// What the long window of a pair must exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// A share of the whole budget, above 0; what burn rate that is follows from the window.
    Budget(Share),
    /// A burn rate, whatever the window.
    Burn {
        /// In billionths.
        nano: u64,
        /// Whether reaching it is enough.
        or_equal: bool,
    },
}

impl Pair {
    /// The burn rate above which the pair fires, `share * window / long`, as a reduced fraction
    /// (SRE Workbook, chapter 5: 2 % in 1 h of 30 d is 14.4).
    pub fn burn_threshold(&self, window: Duration) -> (u128, u128) {
        let (numerator, denominator) = match self.limit {
            Limit::Budget(share) => (
                u128::from(share.ppb()) * window.as_micros(),
                u128::from(PPB) * self.long.as_micros().max(1),
            ),
            Limit::Burn { nano, or_equal: false } => (nano.into(), PPB.into()),
            // Strictly above a hair less: 10^-15 of a burn rate, which no count of events that
            // fits a window can tell from the rate itself.
            Limit::Burn { nano, or_equal: true } => {
                let fine = u128::from(nano) * 1_000_000;
                (fine.saturating_sub(1), u128::from(PPB) * 1_000_000)
            }
        };
        let divisor = super::decimal::gcd(numerator, denominator).max(1);
        (numerator / divisor, denominator / divisor)
    }

    /// The pair's stable name, such as `1h/5m`, `1h for 5m`.
    pub fn name(&self) -> String {
        use super::time::format_duration;
        let (long, short) = (format_duration(self.long), format_duration(self.short));
        let windows = if long == short { long } else { format!("{long}/{short}") };
        match self.hold.is_zero() {
            true => windows,
            false => format!("{windows} for {}", format_duration(self.hold)),
        }
    }
}

/// What the short window of a pair is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShortThreshold {
    /// The same burn rate as the long window.
    #[default]
    Same,
    /// A burn rate of one: still burning faster than the budget allows.
    One,
}

/// When a burning budget pages or files a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertPolicy {
    /// Its name.
    pub name: Name,
    /// The pairs; severities are ORs of theirs.
    pub pairs: Vec<Pair>,
    /// What the short windows are compared with.
    pub short_threshold: ShortThreshold,
    /// Fewest bad events in the short window, at least 1.
    pub min_bad: u64,
}

impl AlertPolicy {
    /// The name of the policy that is built in.
    pub const WORKBOOK: &'static str = "workbook";

    /// The recommended pairs of the SRE Workbook, chapter 5, with its fourth row.
    pub fn workbook() -> Arc<AlertPolicy> {
        let pair = |severity, long_m: u64, short_m: u64, percent: u32| Pair {
            severity,
            long: Duration::from_secs(long_m * 60),
            short: Duration::from_secs(short_m * 60),
            limit: Limit::Budget(Share::from_ppb(percent * 10_000_000).expect("at most 10 %")),
            hold: Duration::ZERO,
        };
        Arc::new(AlertPolicy {
            name: Self::WORKBOOK.parse().expect("a valid name"),
            pairs: vec![
                pair(Severity::Page, 60, 5, 2),
                pair(Severity::Page, 360, 30, 5),
                pair(Severity::Ticket, 1_440, 120, 10),
                pair(Severity::Ticket, 4_320, 360, 10),
            ],
            short_threshold: ShortThreshold::Same,
            min_bad: 1,
        })
    }

    /// Every window of every pair once, ascending.
    pub fn windows(&self) -> Vec<Duration> {
        let mut windows: Vec<_> = self.pairs.iter().flat_map(|p| [p.short, p.long]).collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_keep_the_budget_share_whatever_the_window() {
        // Burn thresholds of the workbook pairs for other windows (tenths of a percent cut off).
        let check = |days: u64, expect: [u128; 4]| {
            let window = Duration::from_secs(days * 86_400);
            let policy = AlertPolicy::workbook();
            let burns: Vec<_> = policy
                .pairs
                .iter()
                .map(|p| p.burn_threshold(window))
                .map(|(n, d)| n * 1000 / d)
                .collect();
            assert_eq!(burns, expect, "{days} d");
        };
        check(7, [3_360, 1_400, 700, 233]);
        check(28, [13_440, 5_600, 2_800, 933]);
        check(30, [14_400, 6_000, 3_000, 1_000]);
        check(31, [14_880, 6_200, 3_100, 1_033]);
        check(90, [43_200, 18_000, 9_000, 3_000]);
        check(365, [175_200, 73_000, 36_500, 12_166]);
    }
}

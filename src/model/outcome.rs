//! What one observation says: good, bad, unknown or excluded, and why.
//!
//! A failing target is data. A failing monitor is unknown, and never bad.

use std::fmt;

use super::tally::Tally;

/// How one scheduled slot counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The target did what was expected.
    Good,
    /// The target failed.
    Bad,
    /// We could not measure: our fault, our downtime, our network.
    Unknown,
    /// Measured or not, it does not count: maintenance or a correction.
    Excluded,
}

impl Outcome {
    /// The word used in files, metrics and answers.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Good => "good",
            Outcome::Bad => "bad",
            Outcome::Unknown => "unknown",
            Outcome::Excluded => "excluded",
        }
    }

    /// The outcome that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Outcome::Good, Outcome::Bad, Outcome::Unknown, Outcome::Excluded];
        all.into_iter().find(|outcome| outcome.word() == word)
    }
}

macro_rules! reasons {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $word:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every reason, in the order in which metrics list them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word used in files, metrics and answers.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The number that stands for this reason in stored history; never reused.
            pub const fn code(self) -> u8 {
                match self { $($name::$variant => $code,)* }
            }

            /// The reason a stored number stands for.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }

            /// Position in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

reasons! {
    /// Why the target's answer was bad. A closed set.
    BadReason {
        /// The name does not resolve, by the word of a resolver that answered.
        Dns = 1 "dns",
        /// The target refused or reset the connection.
        Connect = 2 "connect",
        /// The TLS handshake failed or the certificate is not acceptable.
        Tls = 3 "tls",
        /// No complete answer within the timeout.
        Timeout = 4 "timeout",
        /// An unexpected status code.
        Status = 5 "status",
        /// A missing or unexpected header.
        Header = 6 "header",
        /// An unexpected body.
        Body = 7 "body",
        /// Bytes that are not the protocol that was expected, or a connection cut mid-answer.
        Protocol = 8 "protocol",
        /// A script said so.
        Script = 9 "script",
    }
}

reasons! {
    /// Why a slot could not be measured. A closed set.
    UnknownReason {
        /// Started too late to say anything about the due time.
        Late = 1 "late",
        /// Too many probes were already in flight.
        Inflight = 2 "inflight",
        /// This machine lacked a descriptor, a port, a route, memory, a resolver or a processor.
        LocalFault = 3 "local-fault",
        /// This machine was cut off from its network.
        Isolated = 4 "isolated",
        /// The monitor was not running.
        NotRunning = 5 "not-running",
        /// Somebody else counts, and gave no answer that can be counted.
        Source = 6 "source",
    }
}

impl UnknownReason {
    /// The reasons that a probe can have; the others are of those who count in its place.
    pub const OF_PROBES: &'static [UnknownReason] = UnknownReason::ALL.split_at(5).0;
}

/// What somebody else counted in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counts {
    /// Good events.
    pub good: u32,
    /// Bad events.
    pub bad: u32,
    /// Events of which it is not known what they were.
    pub unknown: u32,
}

/// The judgement on one scheduled slot: the outcome together with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The target did what was expected.
    Good,
    /// The target failed.
    Bad(BadReason),
    /// We could not measure.
    Unknown(UnknownReason),
    /// Does not count.
    Excluded,
    /// Measured by somebody else, who counted so many events in it; perhaps none at all.
    Counted(Counts),
}

impl Verdict {
    /// Stands for counted slots in stored history; the counts follow it.
    pub const COUNTED: u8 = 0x40;

    /// How the slot counts; of several events, as the worst of them. A slot without events is
    /// good: it was measured.
    pub const fn outcome(self) -> Outcome {
        match self {
            Verdict::Counted(Counts { bad: 1.., .. }) | Verdict::Bad(_) => Outcome::Bad,
            Verdict::Good | Verdict::Counted(_) => Outcome::Good,
            Verdict::Unknown(_) => Outcome::Unknown,
            Verdict::Excluded => Outcome::Excluded,
        }
    }

    /// The word for the reason, if there is one.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::Bad(reason) => Some(reason.word()),
            Verdict::Unknown(reason) => Some(reason.word()),
            Verdict::Good | Verdict::Excluded | Verdict::Counted(_) => None,
        }
    }

    /// What the slot counts: one event, or those that were counted in it.
    pub const fn tally(self) -> Tally {
        match self {
            Verdict::Counted(Counts { good, bad, unknown }) => {
                Tally { good: good as u64, bad: bad as u64, unknown: unknown as u64, excluded: 0 }
            }
            _ => Tally::of(self.outcome(), 1),
        }
    }

    /// The number that stands for this verdict in stored history: the outcome in the upper four
    /// bits, the reason in the lower four.
    pub const fn code(self) -> u8 {
        match self {
            Verdict::Good => 0x00,
            Verdict::Bad(reason) => 0x10 | reason.code(),
            Verdict::Unknown(reason) => 0x20 | reason.code(),
            Verdict::Excluded => 0x30,
            Verdict::Counted(_) => Verdict::COUNTED,
        }
    }

    /// The verdict a stored number stands for; none if no version ever wrote it, or if counts
    /// follow it.
    pub fn from_code(code: u8) -> Option<Self> {
        match (code >> 4, code & 0x0f) {
            (0, 0) => Some(Verdict::Good),
            (1, reason) => BadReason::from_code(reason).map(Verdict::Bad),
            (2, reason) => UnknownReason::from_code(reason).map(Verdict::Unknown),
            (3, 0) => Some(Verdict::Excluded),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_survives_its_stored_code() {
        let bad = BadReason::ALL.iter().map(|r| Verdict::Bad(*r));
        let unknown = UnknownReason::ALL.iter().map(|r| Verdict::Unknown(*r));
        for verdict in bad.chain(unknown).chain([Verdict::Good, Verdict::Excluded]) {
            assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
        }
        assert_eq!((0..=u8::MAX).filter_map(Verdict::from_code).count(), 9 + 6 + 2);
    }
}

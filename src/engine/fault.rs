//! Why slots are unknown, finer than the reasons that history keeps.
//!
//! The reason of a slot is one of five and stands in history; its cause is for whoever has to mend
//! it, and stands in a counter and in the detail text. Keeps true: a cause has exactly one reason.

use crate::model::UnknownReason;

/// What kept a slot from being measured. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It could not be started near its time.
    Late,
    /// Too many probes were in flight.
    Inflight,
    /// This process stood still: stopped, starved, or busy with something else.
    Stall,
    /// No descriptor was left.
    Descriptors,
    /// No local port was left.
    Ports,
    /// No memory or buffer space was left.
    Memory,
    /// There was no route to the target.
    Route,
    /// The system forbade it: a local firewall, a lack of rights.
    Permission,
    /// The operator's egress policy forbids it.
    Egress,
    /// No name server answered.
    Resolver,
    /// Something else of this machine: an unreadable file, a broken probe.
    Local,
    /// What was found out could not be handed on.
    Overload,
    /// Its result never came.
    Lost,
    /// This machine was cut off.
    Isolated,
    /// The machine was suspended.
    Suspend,
    /// The monitor was not running, or stopped before it was done.
    Restart,
}

impl Cause {
    /// Every cause, in the order in which metrics list them.
    pub const ALL: [Cause; 16] = [
        Cause::Late,
        Cause::Inflight,
        Cause::Stall,
        Cause::Descriptors,
        Cause::Ports,
        Cause::Memory,
        Cause::Route,
        Cause::Permission,
        Cause::Egress,
        Cause::Resolver,
        Cause::Local,
        Cause::Overload,
        Cause::Lost,
        Cause::Isolated,
        Cause::Suspend,
        Cause::Restart,
    ];

    /// The word used in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::Late => "late",
            Cause::Inflight => "inflight",
            Cause::Stall => "stall",
            Cause::Descriptors => "descriptors",
            Cause::Ports => "ports",
            Cause::Memory => "memory",
            Cause::Route => "route",
            Cause::Permission => "permission",
            Cause::Egress => "egress",
            Cause::Resolver => "resolver",
            Cause::Local => "local",
            Cause::Overload => "overload",
            Cause::Lost => "lost",
            Cause::Isolated => "isolated",
            Cause::Suspend => "suspend",
            Cause::Restart => "restart",
        }
    }

    /// The reason that history keeps for it.
    pub const fn reason(self) -> UnknownReason {
        match self {
            Cause::Late => UnknownReason::Late,
            Cause::Inflight => UnknownReason::Inflight,
            Cause::Isolated => UnknownReason::Isolated,
            Cause::Suspend | Cause::Restart => UnknownReason::NotRunning,
            Cause::Stall
            | Cause::Descriptors
            | Cause::Ports
            | Cause::Memory
            | Cause::Route
            | Cause::Permission
            | Cause::Egress
            | Cause::Resolver
            | Cause::Local
            | Cause::Overload
            | Cause::Lost => UnknownReason::LocalFault,
        }
    }

    /// Position in [`Cause::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How many slots each cause has made unknown, in the order of [`Cause::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(pub [u64; Cause::ALL.len()]);

impl Slots {
    /// Counts slots.
    pub fn count(&mut self, cause: Cause, n: u64) {
        self.0[cause.index()] += n;
    }

    /// How many it has made unknown.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause.index()]
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Slots) -> Self {
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine += more;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_index_and_every_reason_has_a_cause() {
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(cause.index(), index, "{cause:?}");
        }
        for reason in UnknownReason::OF_PROBES {
            assert!(Cause::ALL.iter().any(|cause| cause.reason() == *reason), "{reason}");
        }
    }
}

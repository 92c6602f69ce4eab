//! Maintenance and Corrections as they are written.

use std::time::Duration;

use super::{
    ApiVersion, CorrectionKind, Line, List, MaintenanceKind, Moment, Name, NameOnly, Rule, Text,
    TimeZone, mirror,
};
use crate::model::maintenance::Effect;
use crate::model::{Outcome, SloId, Timestamp};

mirror! {
    /// Work that was announced: what it concerns, when it is, and what that means for SLOs.
    struct Maintenance {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: MaintenanceKind;
        /// What it is called.
        required "metadata" => metadata: NameOnly;
        /// What it is.
        required "spec" => spec: MaintenanceSpec;
    }
}

mirror! {
    /// A word about the past: how slots that were measured are to count, who says so, and why.
    struct Correction {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: CorrectionKind;
        /// What it is called.
        required "metadata" => metadata: NameOnly;
        /// What it is. Once it is in force it can only be withdrawn, not changed.
        required "spec" => spec: CorrectionSpec;
    }
}

mirror! {
    /// What a Maintenance concerns, when it is, and what that means.
    struct MaintenanceSpec {
        /// The services it concerns.
        required "services" => services: List<Name, 1, 256>;
        /// When it is.
        required "window" => window: MaintenanceWindow;
        /// `exclude`: what is due in it leaves the SLI. `mute`: it counts, and no alert of the
        /// services' SLOs begins to fire.
        required "effect" => effect: Effect;
        /// Why.
        optional "reason" => reason: Text<1_024>;
        /// Who announced it.
        optional "author" => author: Line;
    }
}

mirror! {
    /// When a Maintenance is: once, from `start` to before `end`; every week; or by a rule.
    struct MaintenanceWindow {
        /// When it begins. With `rrule`, when the first occurrence begins, in local time of the
        /// zone: `2026-12-06T02:00:00`.
        optional "start" => start: Moment;
        /// When it ends; what is due from here on is not in it.
        optional "end" => end: Timestamp;
        /// Days and local times: `Sun 02:00-04:00`, `Mon-Fri 22:00-02:00`, `Sat,Sun 00:00-24:00`.
        /// An end that is not after the beginning is on the next day.
        optional "weekly" => weekly: Line;
        /// A recurrence rule of RFC 5545, such as `FREQ=MONTHLY;BYDAY=1SU`.
        optional "rrule" => rrule: Line;
        /// With `rrule`, how long each occurrence is, at most 7d.
        optional "duration" => duration: Duration;
        /// With `weekly` and `rrule`, the time zone, an IANA name. Without it: `UTC`.
        optional "timeZone" => time_zone: TimeZone;
    }
    rules &[Rule::ExactlyOne(&["end", "weekly", "rrule"])];
}

mirror! {
    /// How which slots are to count, or which Correction no longer holds; who says so, and why.
    struct CorrectionSpec {
        /// The SLO, `service/name`.
        optional "slo" => slo: SloId;
        /// Slots that are due from here on.
        optional "from" => from: Timestamp;
        /// Slots that are due before this.
        optional "to" => to: Timestamp;
        /// What they count as.
        optional "outcome" => outcome: Outcome;
        /// In place of the four: the Correction that does not hold any more.
        optional "withdraws" => withdraws: Name;
        /// Why.
        required "reason" => reason: Text<1_024>;
        /// Who says so.
        required "author" => author: Line;
        /// When it was written. Where two Corrections speak of the same slot, the one that was
        /// written later holds; without it, one is taken to be written at its `to`.
        optional "at" => at: Timestamp;
    }
    rules &[Rule::ExactlyOne(&["outcome", "withdraws"])];
}

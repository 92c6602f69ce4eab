//! OpenSLO v1 as it is written: every kind and every key, once.
//!
//! Follows the published specification and the Go SDK's rules where the two agree, and the SDK
//! where they do not. What must hold between keys of different mappings is checked where the
//! SLOs are put together.

use super::value::{
    Chars, Free, Labels, LaxList, Number, PolicyUse, Query, Shorthand, SliceWindow,
};
use crate::model::Name;
use crate::spec::leaf::TimeZone;
use crate::spec::mirror::{Rule, mirror};
use crate::spec::raw::{Http, Tcp, Tls};
use crate::spec::value::{List, Map, Text, words};

/// The version of the language.
pub(in crate::spec) const API_VERSION: &str = "openslo/v1";
/// The kinds of the language, all of which are read.
pub(in crate::spec) const KINDS: [&str; 7] = [
    "Service",
    "SLO",
    "SLI",
    "DataSource",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
];

/// Longest description, in characters.
type Description = Chars<1_050>;
/// Annotations, which belong to whoever wrote them.
type Annotations = Map<Text<2_048>, 64>;

/// A word that can only be one.
macro_rules! only {
    ($($name:ident = $word:literal;)+) => {$(
        #[doc = concat!("The word `", $word, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub(in crate::spec) struct $name;
        words!($name { $word => $name });
    )+};
}

only! {
    OpenVersion = "openslo/v1";
    OpenServiceKind = "Service";
    OpenSloKind = "SLO";
    OpenSliKind = "SLI";
    OpenDataSourceKind = "DataSource";
    OpenPolicyKind = "AlertPolicy";
    OpenConditionKind = "AlertCondition";
    OpenTargetKind = "AlertNotificationTarget";
    BurnRate = "burnrate";
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) enum Op {
    /// Below.
    Lt,
    /// At most.
    Lte,
    /// Above.
    Gt,
    /// At least.
    Gte,
}
words!(Op { "lt" => Op::Lt, "lte" => Op::Lte, "gt" => Op::Gt, "gte" => Op::Gte });

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) enum Budgeting {
    /// Events.
    Occurrences,
    /// Good slices.
    Timeslices,
    /// The mean of the slices' ratios.
    RatioTimeslices,
}
words!(Budgeting {
    "Occurrences" => Budgeting::Occurrences,
    "Timeslices" => Budgeting::Timeslices,
    "RatioTimeslices" => Budgeting::RatioTimeslices,
});

/// What a stored ratio is a ratio of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) enum RawType {
    /// good / total
    Success,
    /// bad / total
    Failure,
}
words!(RawType { "success" => RawType::Success, "failure" => RawType::Failure });

mirror! {
    /// What an object is called.
    struct OpenMetadata {
        /// Its name, unique per kind.
        required "name" => name: Name;
        /// Its name for people, at most 63 characters.
        optional "displayName" => display_name: Chars<63>;
        /// Labels with one value or several.
        optional "labels" => labels: Labels;
        /// Notes for programs; kept out of everything.
        optional "annotations" => _annotations: Annotations;
    }
}

mirror! {
    /// A group of SLOs.
    struct OpenService {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenServiceKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenServiceSpec;
    }
}

mirror! {
    /// What a service is.
    struct OpenServiceSpec {
        /// In words, at most 1050 characters.
        optional "description" => description: Description;
    }
}

mirror! {
    /// A promise.
    struct OpenSlo {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenSloKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenSloSpec;
    }
}

mirror! {
    /// What is promised.
    struct OpenSloSpec {
        /// In words, at most 1050 characters.
        optional "description" => description: Description;
        /// The service it belongs to, of either language.
        required "service" => service: Name;
        /// What is measured.
        optional "indicator" => indicator: OpenIndicator;
        /// The SLI that says what is measured.
        optional "indicatorRef" => indicator_ref: Name;
        /// What is counted.
        required "budgetingMethod" => method: Budgeting;
        /// Over which time; exactly one.
        required "timeWindow" => window: List<OpenTimeWindow, 1, 1>;
        /// How much is promised. Each becomes an SLO of its own.
        required "objectives" => objectives: List<OpenObjective, 1, 64>;
        /// When to tell somebody.
        optional "alertPolicies" => policies: LaxList<PolicyUse, 64>;
    }
}

mirror! {
    /// An SLI within an SLO.
    struct OpenIndicator {
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenSliSpec;
    }
}

mirror! {
    /// Over which time.
    struct OpenTimeWindow {
        /// How long: `30d`, `4w`, `1M`.
        required "duration" => duration: Shorthand;
        /// Whether it is the time before now.
        optional "isRolling" => rolling: bool;
        /// Where its periods begin, if it is not.
        optional "calendar" => calendar: OpenCalendar;
    }
}

mirror! {
    /// Where the periods of a calendar window begin.
    struct OpenCalendar {
        /// When one of them begins, `YYYY-MM-DD HH:MM:SS`, in the zone's own time.
        required "startTime" => start: Text<64>;
        /// An IANA name.
        required "timeZone" => time_zone: TimeZone;
    }
}

mirror! {
    /// How much is promised.
    struct OpenObjective {
        /// Its name for people.
        optional "displayName" => display_name: Chars<63>;
        /// How a measured value is compared with `value`; of a threshold metric only.
        optional "op" => op: Op;
        /// What a measured value is compared with; of a threshold metric only.
        optional "value" => value: Number;
        /// The promised share, above 0 and below 1.
        optional "target" => target: Number;
        /// The same in percent.
        optional "targetPercent" => percent: Number;
        /// The share of good that makes a slice good, above 0 and at most 1; of `Timeslices`.
        optional "timeSliceTarget" => slice_target: Number;
        /// How long a slice is; a number without unit counts minutes. Of both slice methods.
        optional "timeSliceWindow" => slice: SliceWindow;
        /// What is measured, in a composite SLO.
        optional "indicator" => indicator: OpenIndicator;
        /// The SLI that says what is measured, in a composite SLO.
        optional "indicatorRef" => indicator_ref: Name;
        /// How much it weighs in a composite SLO, above 0.
        optional "compositeWeight" => weight: Number;
    }
    rules &[Rule::ExactlyOne(&["target", "targetPercent"])];
}

mirror! {
    /// What is measured.
    struct OpenSli {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenSliKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenSliSpec;
    }
}

mirror! {
    /// What is measured: values, or good and bad events.
    struct OpenSliSpec {
        /// In words, at most 1050 characters.
        optional "description" => _description: Description;
        /// Values that are compared with that of an objective.
        optional "thresholdMetric" => threshold: OpenMetric;
        /// Good or bad events out of all, or their ratio.
        optional "ratioMetric" => ratio: OpenRatio;
    }
    rules &[Rule::ExactlyOne(&["thresholdMetric", "ratioMetric"])];
}

mirror! {
    /// Good or bad events out of all, or their ratio.
    struct OpenRatio {
        /// Whether the metrics only rise.
        optional "counter" => counter: bool;
        /// Good events.
        optional "good" => good: OpenMetric;
        /// Bad events.
        optional "bad" => bad: OpenMetric;
        /// All events.
        optional "total" => total: OpenMetric;
        /// What `raw` is a ratio of: `success` or `failure`.
        optional "rawType" => raw_type: RawType;
        /// A ratio that somebody else has worked out.
        optional "raw" => raw: OpenMetric;
    }
    rules &[Rule::ExactlyOne(&["total", "raw"]), Rule::AtMostOne(&["good", "bad", "raw"])];
}

mirror! {
    /// One metric.
    struct OpenMetric {
        /// Where it comes from.
        required "metricSource" => source: OpenMetricSource;
    }
}

mirror! {
    /// Where a metric comes from.
    struct OpenMetricSource {
        /// The DataSource.
        optional "metricSourceRef" => reference: Name;
        /// The type of source, where no DataSource says it: `nines` or `Prometheus`.
        optional "type" => kind: Text<128>;
        /// What to ask of it.
        required "spec" => spec: Query;
    }
}

mirror! {
    /// What to ask of nines itself: a probe.
    struct NinesSource {
        /// A probe of a service, `service/name`.
        optional "probe" => probe: Text<127>;
        /// An HTTP or HTTPS request.
        optional "http" => http: Http;
        /// A TCP connection.
        optional "tcp" => tcp: Tcp;
        /// A TLS handshake.
        optional "tls" => tls: Tls;
        /// From one start to the next, 10ms to 1d.
        optional "interval" => interval: std::time::Duration;
        /// How long one may take.
        optional "timeout" => timeout: std::time::Duration;
    }
    rules &[Rule::ExactlyOne(&["probe", "http", "tcp", "tls"])];
}

mirror! {
    /// What to ask of a Prometheus.
    struct PrometheusSource {
        /// The server, by its name in the operator's config; else that of the DataSource.
        optional "server" => server: Name;
        /// PromQL.
        required "query" => query: Text<8_192>;
    }
}

mirror! {
    /// Where metrics come from.
    struct OpenDataSource {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenDataSourceKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenDataSourceSpec;
    }
}

mirror! {
    /// What kind of source, and where it is.
    struct OpenDataSourceSpec {
        /// In words, at most 1050 characters.
        optional "description" => _description: Description;
        /// `nines` or `Prometheus`, in any case.
        required "type" => kind: Text<128>;
        /// How to reach it: for a Prometheus `{server: NAME}`, the name in the operator's config.
        /// Secrets do not belong here.
        required "connectionDetails" => details: Free;
    }
}

mirror! {
    /// When somebody is told.
    struct OpenAlertPolicy {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenPolicyKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenAlertPolicySpec;
    }
}

mirror! {
    /// An alert policy within an SLO, or the name of one.
    struct OpenPolicyUse {
        /// The AlertPolicy.
        optional "alertPolicyRef" => reference: Name;
        /// The word `AlertPolicy`.
        optional "kind" => _kind: OpenPolicyKind;
        /// What it is called.
        optional "metadata" => _metadata: OpenMetadata;
        /// What it is.
        optional "spec" => spec: OpenAlertPolicySpec;
    }
    rules &[Rule::ExactlyOne(&["alertPolicyRef", "spec"])];
}

mirror! {
    /// What is told to whom.
    struct OpenAlertPolicySpec {
        /// In words, at most 1050 characters.
        optional "description" => _description: Description;
        /// Whether silence is told.
        optional "alertWhenNoData" => no_data: bool = "false";
        /// Whether the end is told.
        optional "alertWhenResolved" => _resolved: bool = "false";
        /// Whether the condition itself is told.
        optional "alertWhenBreaching" => breaching: bool = "false";
        /// The condition; exactly one.
        required "conditions" => conditions: List<OpenCondition, 1, 1>;
        /// Who is told; at least one.
        required "notificationTargets" => targets: List<OpenTargetUse, 1, 64>;
    }
}

mirror! {
    /// A condition within an alert policy, or the name of one.
    struct OpenCondition {
        /// The AlertCondition.
        optional "conditionRef" => reference: Name;
        /// The word `AlertCondition`.
        optional "kind" => _kind: OpenConditionKind;
        /// What it is called.
        optional "metadata" => _metadata: OpenMetadata;
        /// What it is.
        optional "spec" => spec: OpenConditionSpec;
    }
    rules &[Rule::ExactlyOne(&["conditionRef", "spec"])];
}

mirror! {
    /// A target within an alert policy, or the name of one.
    struct OpenTargetUse {
        /// The AlertNotificationTarget.
        optional "targetRef" => reference: Name;
        /// The word `AlertNotificationTarget`.
        optional "kind" => _kind: OpenTargetKind;
        /// What it is called.
        optional "metadata" => metadata: OpenMetadata;
        /// What it is.
        optional "spec" => spec: OpenTargetSpec;
    }
    rules &[Rule::ExactlyOne(&["targetRef", "spec"])];
}

mirror! {
    /// A condition on which somebody is told.
    struct OpenAlertCondition {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenConditionKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenConditionSpec;
    }
}

mirror! {
    /// How loud, and when.
    struct OpenConditionSpec {
        /// In words, at most 1050 characters.
        optional "description" => _description: Description;
        /// `page` or `critical` wakes somebody, `ticket` or `warning` waits for working hours.
        required "severity" => severity: Text<63>;
        /// When.
        required "condition" => condition: OpenBurn;
    }
}

mirror! {
    /// A burn rate that is too high.
    struct OpenBurn {
        /// The word `burnrate`.
        optional "kind" => _kind: BurnRate = "burnrate";
        /// How the burn rate is compared: `gt` or `gte`.
        optional "op" => op: Op;
        /// What the burn rate is compared with.
        required "threshold" => threshold: Number;
        /// Over how long the burn rate is taken.
        required "lookbackWindow" => look_back: Shorthand;
        /// How long it must hold before somebody is told.
        optional "alertAfter" => after: Shorthand;
    }
}

mirror! {
    /// Somebody who is told.
    struct OpenTarget {
        /// The version of the language.
        required "apiVersion" => _api_version: OpenVersion;
        /// What the document declares.
        required "kind" => _kind: OpenTargetKind;
        /// What it is called.
        required "metadata" => metadata: OpenMetadata;
        /// What it is.
        required "spec" => spec: OpenTargetSpec;
    }
}

mirror! {
    /// By which way somebody is told.
    struct OpenTargetSpec {
        /// In words, at most 1050 characters.
        optional "description" => description: Description;
        /// The way: `email`, `slack` and so on.
        required "target" => target: Text<256>;
    }
}

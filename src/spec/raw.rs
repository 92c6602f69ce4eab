//! The spec files as they are written: every kind, every key, every default, once.
//!
//! Holds what was written and nothing else: references are names, and what must hold between
//! keys of different mappings is checked where the catalog is put together.

mod amend;

use std::time::Duration;

pub(super) use amend::{
    Correction, CorrectionSpec, Maintenance, MaintenanceSpec, MaintenanceWindow,
};

pub(super) use super::leaf::{
    Alerting, BudgetMethod, FilePath, HostName, Method, Moment, Size, StatusRange, TimeZone, Url,
    Window, has_user_info,
};
use super::mirror::{Rule, mirror};
pub(super) use super::sli::{Latency, PrometheusSli, PushSli};
use super::value::{Int, List, Map, Maybe, OneOrMany, Text, words};
use crate::model::catalog::{Impact, SupportHours, UnknownPolicy};
use crate::model::check::{Connection, Endpoint, HttpVersion};
use crate::model::window::Unit;
use crate::model::{Name, Objective, Severity, Share, ShortThreshold};

/// A short text on one line.
pub(super) type Line = Text<256>;
/// A longer text.
pub(super) type Prose = Text<4_096>;
/// Labels and links.
pub(super) type Texts = Map<Text<2_048>, 64>;

mirror! {
    /// Something the platform offers, how it is probed, and what it promises.
    struct Service {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: ServiceKind;
        /// What it is called and who owns it.
        required "metadata" => metadata: Metadata;
        /// What it is.
        required "spec" => spec: ServiceSpec;
    }
}

mirror! {
    /// What people do when a service breaks, and how fast.
    struct SupportTier {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: SupportTierKind;
        /// What it is called.
        required "metadata" => metadata: NameOnly;
        /// What it is.
        required "spec" => spec: SupportTierSpec;
    }
}

mirror! {
    /// When a burning budget pages or files a ticket.
    struct AlertPolicy {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: AlertPolicyKind;
        /// What it is called. `workbook` is built in.
        required "metadata" => metadata: NameOnly;
        /// What it is.
        required "spec" => spec: AlertPolicySpec;
    }
}

mirror! {
    /// What an application team needs of the platform.
    struct Application {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: ApplicationKind;
        /// What it is called and who owns it.
        required "metadata" => metadata: Metadata;
        /// What it is.
        required "spec" => spec: ApplicationSpec;
    }
}

mirror! {
    /// An outward promise about an SLO, and what is owed where it is broken.
    struct Agreement {
        /// The version of the language.
        required "apiVersion" => _api_version: ApiVersion;
        /// What the document declares.
        required "kind" => _kind: AgreementKind;
        /// What it is called.
        required "metadata" => metadata: NameOnly;
        /// What it is.
        required "spec" => spec: AgreementSpec;
    }
}

/// Kinds that this version reads.
pub(super) const KINDS: [&str; 7] = [
    "Service",
    "SupportTier",
    "AlertPolicy",
    "Application",
    "Agreement",
    "Maintenance",
    "Correction",
];
/// Versions of the language.
pub(super) const API_VERSION: &str = "nines/v1";

/// A word that can only be one.
macro_rules! only {
    ($($name:ident = $word:literal;)+) => {$(
        #[doc = concat!("The word `", $word, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name;
        words!($name { $word => $name });
    )+};
}

only! {
    ApiVersion = "nines/v1";
    ServiceKind = "Service";
    SupportTierKind = "SupportTier";
    AlertPolicyKind = "AlertPolicy";
    ApplicationKind = "Application";
    AgreementKind = "Agreement";
    MaintenanceKind = "Maintenance";
    CorrectionKind = "Correction";
}

mirror! {
    /// What a Service or an Application is called and who owns it.
    struct Metadata {
        /// Its name: lowercase letters, digits and hyphens, at most 63. Unique per kind.
        required "name" => name: Name;
        /// Its name for people.
        optional "displayName" => display_name: Line;
        /// Labels; `team` is the owner that is shown everywhere. Names as Prometheus has them,
        /// values of at most 256 bytes. Other labels reach the metrics only if the operator's
        /// config lists them.
        optional "labels" => labels: Map<Text<256>, 32>;
    }
}

mirror! {
    /// What a SupportTier, an AlertPolicy, an Agreement, a Maintenance or a Correction is called.
    struct NameOnly {
        /// Its name: lowercase letters, digits and hyphens, at most 63. Unique per kind.
        required "name" => name: Name;
    }
}

mirror! {
    /// How a service is probed and what it promises.
    struct ServiceSpec {
        /// What it is.
        optional "description" => description: Prose;
        /// Where to read more: `runbook`, `chat`, `dashboard` and so on.
        optional "links" => links: Texts;
        /// The SupportTier it is run under.
        optional "support" => support: Name;
        /// The services it needs itself.
        optional "dependsOn" => depends_on: List<Dependency, 1, 256>;
        /// How it is probed.
        optional "probes" => probes: List<Probe, 1, 256>;
        /// What it promises.
        optional "slos" => slos: List<Slo, 1, 256>;
    }
}

mirror! {
    /// A service that is needed, or some of several.
    struct Dependency {
        /// The service that is needed.
        optional "service" => service: Name;
        /// How many of `of` must work, 1 to as many as there are.
        optional "need" => need: Int<1, 64>;
        /// The alternatives.
        optional "of" => of: List<Alternative, 1, 64>;
        /// What losing it does: `hard` fails the dependent, `soft` leaves it with less.
        optional "impact" => impact: Impact = "hard";
        /// Share of the failures that take all alternatives at once. Without it 10% is taken,
        /// with a warning.
        optional "commonCause" => common_cause: Share;
    }
    rules &[Rule::ExactlyOne(&["service", "of"])];
}

mirror! {
    /// One of several services that can stand in for each other.
    struct Alternative {
        /// The service.
        required "service" => service: Name;
    }
}

mirror! {
    /// A check that is repeated on a fixed grid.
    struct Probe {
        /// Its name, unique within the service; its id is `service/name`.
        required "name" => name: Name;
        /// An HTTP or HTTPS request.
        optional "http" => http: Http;
        /// A TCP connection.
        optional "tcp" => tcp: Tcp;
        /// A TLS handshake.
        optional "tls" => tls: Tls;
        /// From one start to the next, 10ms to 1d.
        optional "interval" => interval: Duration = "10s";
        /// How long one may take, above 0 and at most the interval. Default: the interval, at
        /// most 5s.
        optional "timeout" => timeout: Duration;
    }
    later &[
        "amqp", "dns", "exec", "ftp", "grpc", "icmp", "imap", "kafka", "ldap", "mongodb", "mqtt",
        "mysql", "nats", "ntp", "ping", "postgres", "redis", "script", "smtp", "ssh", "starttls",
        "udp", "unix", "websocket",
    ];
    rules &[Rule::ExactlyOne(&["http", "tcp", "tls"])];
}

mirror! {
    /// An HTTP or HTTPS request and the answer it must get. Redirects are not followed.
    struct Http {
        /// Where to, `http://` or `https://`, without user info and fragment.
        required "url" => url: Url;
        /// The method.
        optional "method" => method: Method = "GET";
        /// Headers to send. Secrets do not belong here, see `headersFromFile`.
        optional "headers" => headers: Map<Text<4_096>, 64>;
        /// Headers whose values are read from files, such as `Authorization`.
        optional "headersFromFile" => headers_from_file: Map<FilePath, 64>;
        /// The body to send.
        optional "body" => body: Text<65_536>;
        /// What makes an answer good. Without it: a status of 200 to 299.
        optional "expect" => expect: HttpExpect;
        /// The version: `auto` takes what ALPN settles on for `https` and HTTP/1.1 for `http`.
        optional "version" => version: HttpVersion = "auto";
        /// How the certificate is verified, for `https`.
        optional "tls" => tls: TlsOptions;
        /// `cold` looks up, connects and shakes hands for every probe; `warm` keeps the
        /// connection.
        optional "connection" => connection: Connection = "cold";
        /// How much of the body is read, up to 64MiB.
        optional "maxBody" => max_body: Size = "1MiB";
    }
}

mirror! {
    /// What makes an HTTP answer good; all of it must hold.
    struct HttpExpect {
        /// Accepted status codes: `200`, `2xx` or `200-299`.
        optional "status" => status: OneOrMany<StatusRange, 32> = "2xx";
        /// Headers that must be there: with exactly this value, or with any when left empty.
        optional "headers" => headers: Map<Maybe<Text<4_096>>, 64>;
        /// What the body must be like.
        optional "body" => body: BodyExpect;
    }
}

mirror! {
    /// What a body must be like.
    struct BodyExpect {
        /// Text it must contain, within the part that is read.
        required "contains" => contains: Prose;
    }
}

mirror! {
    /// A TCP connection, with an optional exchange of bytes.
    struct Tcp {
        /// Where to: `host:port`, IPv6 addresses in brackets.
        required "address" => address: Endpoint;
        /// What to send once connected.
        optional "send" => send: Prose;
        /// Text that must arrive, after what was sent if something was.
        optional "expect" => expect: Prose;
    }
}

mirror! {
    /// A TLS handshake and the certificate it must show.
    struct Tls {
        /// Where to: `host:port`, IPv6 addresses in brackets.
        required "address" => address: Endpoint;
        /// The name to ask for and to verify, if it is not the host of the address.
        optional "serverName" => server_name: HostName;
        /// Certificates to trust in place of the system's, PEM.
        optional "caFile" => ca_file: FilePath;
        /// The least time for which every certificate of the chain must still be valid.
        optional "minValidity" => min_validity: Duration;
    }
}

mirror! {
    /// How a certificate is verified.
    struct TlsOptions {
        /// The name to ask for and to verify, if it is not the host of the URL.
        optional "serverName" => server_name: HostName;
        /// Certificates to trust in place of the system's, PEM.
        optional "caFile" => ca_file: FilePath;
    }
}

mirror! {
    /// A promise: which share of which observations is good over which window.
    struct Slo {
        /// Its name, unique within the service; its id is `service/name`.
        required "name" => name: Name;
        /// Its name for people.
        optional "displayName" => display_name: Line;
        /// What it promises, in words.
        optional "description" => description: Prose;
        /// The probe that counts.
        optional "probe" => probe: Name;
        /// The probes that count. Default: all probes of the service.
        optional "probes" => probes: List<Name, 1, 256>;
        /// Counters of a Prometheus that count in place of probes.
        optional "prometheus" => prometheus: PrometheusSli;
        /// Results that others send, which count in place of probes.
        optional "push" => push: PushSli;
        /// Makes slow answers bad.
        optional "latency" => latency: Latency;
        /// The promised share of good, above 0 and below 1, such as `99.95%` or `0.9995`; up to
        /// nine decimals of the ratio.
        required "objective" => objective: Objective;
        /// The window over which it is promised: a rolling one in whole seconds, or the periods
        /// of a calendar.
        required "window" => window: Window;
        /// How observations are counted: one by one, or by slices of time.
        optional "method" => method: BudgetMethod = "occurrences";
        /// How time counts in which we could not measure.
        optional "unknown" => unknown: UnknownPolicy = "exclude";
        /// The least share of a window that must have been measured for a verdict, above 0.
        /// Below it the SLO has no data, unless its bad observations alone are too many. Without
        /// it a pair of the alert policy wants 50%, and the verdict wants nothing.
        optional "minCoverage" => min_coverage: Share;
        /// How long outages last on average, as evidence assumes until longer ones are seen:
        /// 1s to 1d.
        optional "meanOutage" => mean_outage: Duration = "5m";
        /// When to tell somebody: a policy, or `none`. Default: the built-in policy `workbook`.
        optional "alerting" => alerting: Alerting;
    }
    rules &[Rule::AtMostOne(&["probe", "probes", "prometheus", "push"])];
}

mirror! {
    /// Periods of a calendar, each with the length that its zone gives it. At the end of a
    /// period the count begins anew.
    struct CalendarWindow {
        /// From midnight, Monday, the first of the month, of January, April, July and October,
        /// or the first of January on.
        required "calendar" => calendar: Unit;
        /// The time zone that decides when a period begins, an IANA name.
        optional "timeZone" => time_zone: TimeZone = "UTC";
    }
}

mirror! {
    /// Which slices of time are counted.
    struct SliceMethod {
        /// Good slices over all slices.
        optional "timeslices" => timeslices: Timeslices;
        /// The mean of the good shares of all slices.
        optional "ratioTimeslices" => ratio: RatioTimeslices;
    }
    rules &[Rule::ExactlyOne(&["timeslices", "ratioTimeslices"])];
}

mirror! {
    /// Slices that are good or bad as a whole.
    struct Timeslices {
        /// How long a slice is, in whole minutes.
        required "slice" => slice: Duration;
        /// The share of good observations that makes a slice good, above 0.
        required "sliceObjective" => objective: Share;
    }
}

mirror! {
    /// Slices of which each counts by its share of good observations, however many those are.
    struct RatioTimeslices {
        /// How long a slice is, in whole minutes.
        required "slice" => slice: Duration;
    }
}

mirror! {
    /// Which policy decides when to tell somebody.
    struct AlertingPolicy {
        /// An AlertPolicy; `workbook` is built in.
        required "policy" => policy: Name;
    }
}

mirror! {
    /// When people are there and how fast they are.
    struct SupportTierSpec {
        /// When somebody is there: `24x7`, or hours a day and days a week from Monday, `8x5`;
        /// `automatic` where nobody has to be, because it fails over by itself and pages nobody.
        required "hours" => hours: SupportHours;
        /// The time zone of the hours, an IANA name.
        optional "timeZone" => time_zone: TimeZone = "UTC";
        /// How soon somebody answers while somebody is there; with `automatic`, how long it takes
        /// until the failure is noticed and something is done about it.
        required "acknowledge" => acknowledge: Duration;
        /// How long repair takes after that.
        required "repair" => repair: Duration;
    }
}

mirror! {
    /// What is agreed with whom.
    struct AgreementSpec {
        /// The service.
        required "service" => service: Name;
        /// Its SLO, by the name within the service.
        required "slo" => slo: Name;
        /// Whom it is with: the name of an Application, or any words.
        required "customer" => customer: Line;
        /// The share of good that is agreed, above 0 and below 1, such as `99.9%` or `0.999`.
        required "objective" => objective: Objective;
        /// The periods in which it is settled, of a calendar.
        required "window" => window: CalendarWindow;
        /// What is owed, the mildest first. Without it breaking the agreement costs nothing.
        optional "credits" => credits: CreditTiers;
    }
}

/// What is owed, in tiers.
pub(super) type CreditTiers = List<CreditTier, 1, 32>;

mirror! {
    /// A tier of what is owed.
    struct CreditTier {
        /// Owed where less than this share was good.
        required "below" => below: Objective;
        /// The share of the price that is given back, above 0%.
        required "credit" => credit: Share;
    }
}

mirror! {
    /// What an application needs, and what it brings.
    struct ApplicationSpec {
        /// What it is.
        optional "description" => description: Prose;
        /// Where to read more: `runbook`, `chat`, `dashboard` and so on.
        optional "links" => links: Texts;
        /// What it needs.
        required "needs" => needs: Needs;
        /// The share of its budget that it keeps for its own failures, below 100%. Without it
        /// nothing can be said about what is left.
        optional "reserve" => reserve: Share;
        /// What its own team does when it breaks.
        optional "support" => support: TeamSupport;
        /// The services it needs.
        required "dependsOn" => depends_on: List<Dependency, 1, 256>;
    }
}

mirror! {
    /// How much an application needs.
    struct Needs {
        /// The share of good that it needs, above 0 and below 1, such as `99.9%` or `0.999`.
        required "objective" => objective: Objective;
        /// The window over which it needs that: a rolling one in whole seconds, or the periods of
        /// a calendar.
        required "window" => window: Window;
    }
}

mirror! {
    /// When the team of an application is there and how fast it is.
    struct TeamSupport {
        /// When somebody is there: `24x7`, or hours a day and days a week from Monday, `8x5`;
        /// `automatic` where nobody has to be, because it fails over by itself and pages nobody.
        required "hours" => hours: SupportHours;
        /// How soon somebody answers while somebody is there; with `automatic`, how long it takes
        /// until the failure is noticed and something is done about it.
        required "acknowledge" => acknowledge: Duration;
        /// How long repair takes after that. Without it, repair is taken to be instant.
        optional "repair" => repair: Duration = "0s";
    }
}

mirror! {
    /// When an alert fires.
    struct AlertPolicySpec {
        /// Pairs of windows; a severity fires when one of its pairs does.
        required "pairs" => pairs: List<Pair, 1, 16>;
        /// What the short windows are compared with: the `same` burn rate as the long one, or
        /// `1x`: still burning faster than the budget allows.
        optional "shortThreshold" => short_threshold: ShortThreshold = "same";
        /// Fewest bad observations in the short window. 3 keeps single lost probes from paging.
        optional "minBad" => min_bad: Int<1, 1_000_000> = "1";
    }
}

mirror! {
    /// Fires while the long window has spent more than its share of the budget and the short
    /// window says that it is still going on.
    struct Pair {
        /// How loud it is: `page` wakes somebody, `ticket` waits for working hours.
        required "severity" => severity: Severity;
        /// The window that decides, in whole seconds, at most the window of the SLO.
        required "long" => long: Duration;
        /// The window that ends the alert, in whole seconds, shorter than `long`.
        required "short" => short: Duration;
        /// The share of the whole budget whose spending within `long` fires, above 0.
        required "budget" => budget: Share;
    }
}

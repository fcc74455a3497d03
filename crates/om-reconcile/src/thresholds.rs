//! Threshold profiles and the six values that are in force
//! (chapter 02 §4, §2.2 rows 14 and 15).

use om_model::Artifact;
use om_model::envelope::SchemaVersion;
use om_model::json::{self, type_name};
use om_model::thresholds::{HealthThresholds, ResolvedProfile, ThresholdValues};
use serde_json::{Map, Number, Value};

/// Why thresholds cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// The catalog is not a regular file.
    #[error("threshold profiles file not found: {file}")]
    NotFound {
        /// The catalog's path.
        file: String,
    },
    /// The catalog is not JSON.
    #[error("invalid threshold profiles JSON: {file}: {cause}")]
    Malformed {
        /// The catalog's path.
        file: String,
        /// The parser's message.
        cause: String,
    },
    /// The catalog is JSON, but not a catalog.
    #[error("threshold profiles file has invalid shape: {file}: {what}")]
    Shape {
        /// The catalog's path.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// No profile was named, and the catalog has no default.
    #[error("profile name is required and defaultProfile is missing: {file}")]
    NoName {
        /// The catalog's path.
        file: String,
    },
    /// The catalog has no such profile.
    #[error("unknown threshold profile: {name}")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The profile's values cannot be used.
    #[error("threshold profile values are invalid: {name}: {what}")]
    Values {
        /// The profile.
        name: String,
        /// The member and what is wrong with it.
        what: String,
    },
    /// A flag or profile value is not a whole number (row 14).
    #[error("{} must be a non-negative integer", .0.flag())]
    NotAnInteger(Threshold),
    /// A critical threshold lies below its degraded one (row 15).
    #[error("critical {} threshold must be >= degraded threshold", .0.noun())]
    Inverted(Metric),
}

/// What a pair of thresholds is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Seconds since the last event.
    IngestLag,
    /// Seconds since the last heartbeat.
    HeartbeatLag,
    /// Failed passes in a row.
    TransportFailureStreak,
}

impl Metric {
    /// Every metric, in checking order.
    pub const ALL: [Self; 3] = [
        Self::IngestLag,
        Self::HeartbeatLag,
        Self::TransportFailureStreak,
    ];

    fn noun(self) -> &'static str {
        match self {
            Self::IngestLag => "ingest lag",
            Self::HeartbeatLag => "heartbeat lag",
            Self::TransportFailureStreak => "transport failure",
        }
    }
}

/// One of the six thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    /// `--degraded-ingest-lag-seconds`
    DegradedIngestLag,
    /// `--critical-ingest-lag-seconds`
    CriticalIngestLag,
    /// `--degraded-heartbeat-lag-seconds`
    DegradedHeartbeatLag,
    /// `--critical-heartbeat-lag-seconds`
    CriticalHeartbeatLag,
    /// `--degraded-transport-failure-streak`
    DegradedTransportFailureStreak,
    /// `--critical-transport-failure-streak`
    CriticalTransportFailureStreak,
}

impl Threshold {
    /// Every threshold, in checking order.
    pub const ALL: [Self; 6] = [
        Self::DegradedIngestLag,
        Self::CriticalIngestLag,
        Self::DegradedHeartbeatLag,
        Self::CriticalHeartbeatLag,
        Self::DegradedTransportFailureStreak,
        Self::CriticalTransportFailureStreak,
    ];

    /// The flag's name without its dashes.
    pub fn flag(self) -> &'static str {
        match self {
            Self::DegradedIngestLag => "degraded-ingest-lag-seconds",
            Self::CriticalIngestLag => "critical-ingest-lag-seconds",
            Self::DegradedHeartbeatLag => "degraded-heartbeat-lag-seconds",
            Self::CriticalHeartbeatLag => "critical-heartbeat-lag-seconds",
            Self::DegradedTransportFailureStreak => "degraded-transport-failure-streak",
            Self::CriticalTransportFailureStreak => "critical-transport-failure-streak",
        }
    }

    /// The member in a profile's values; heartbeat thresholds have none.
    pub fn profile_member(self) -> Option<&'static str> {
        match self {
            Self::DegradedIngestLag => Some("degradedIngestLagSeconds"),
            Self::CriticalIngestLag => Some("criticalIngestLagSeconds"),
            Self::DegradedHeartbeatLag | Self::CriticalHeartbeatLag => None,
            Self::DegradedTransportFailureStreak => Some("degradedTransportFailureStreak"),
            Self::CriticalTransportFailureStreak => Some("criticalTransportFailureStreak"),
        }
    }
}

/// Resolves the profile `name`, or the catalog's default without one.
///
/// Other profiles of the catalog are not looked at (chapter 02 §4.3).
pub fn resolve(
    catalog: &Artifact,
    source_file: &str,
    name: Option<&str>,
) -> Result<ResolvedProfile, ThresholdError> {
    let (root, profiles) = open(catalog, source_file)?;
    let name = match name.filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => json::non_empty_text(root.get("defaultProfile")).ok_or_else(|| {
            ThresholdError::NoName {
                file: source_file.to_owned(),
            }
        })?,
    };
    let profile = match profiles.get(&name) {
        None | Some(Value::Null) => return Err(ThresholdError::Unknown { name }),
        Some(profile) => profile,
    };
    let values = profile_values(profile).map_err(|what| ThresholdError::Values {
        name: name.clone(),
        what,
    })?;
    Ok(ResolvedProfile {
        schema_version: SchemaVersion::V1,
        source_file: source_file.to_owned(),
        profile: name,
        values,
        description: json::present(profile.get("description")).cloned(),
    })
}

/// The names of the catalog's profiles, sorted.
pub fn list(catalog: &Artifact, source_file: &str) -> Result<Vec<String>, ThresholdError> {
    let (_, profiles) = open(catalog, source_file)?;
    let mut names: Vec<String> = profiles.keys().cloned().collect();
    names.sort_unstable();
    Ok(names)
}

type Members = Map<String, Value>;

/// The catalog's root and its profiles, if it has the shape of a catalog.
fn open<'a>(
    catalog: &'a Artifact,
    source_file: &str,
) -> Result<(&'a Members, &'a Members), ThresholdError> {
    let file = source_file.to_owned();
    let shape = |what: String| ThresholdError::Shape {
        file: source_file.to_owned(),
        what,
    };
    let root = match catalog {
        Artifact::Absent => return Err(ThresholdError::NotFound { file }),
        Artifact::Broken(cause) if catalog.is_blank() => return Err(shape(cause.to_string())),
        Artifact::Broken(cause) => {
            let cause = cause.to_string();
            return Err(ThresholdError::Malformed { file, cause });
        }
        Artifact::Document(Value::Object(root)) => root,
        Artifact::Document(other) => {
            return Err(shape(format!("it is {}, not an object", type_name(other))));
        }
    };
    if root.get("schemaVersion").and_then(Value::as_str) != Some("v1") {
        return Err(shape("schemaVersion is not \"v1\"".to_owned()));
    }
    match root.get("profiles") {
        Some(Value::Object(profiles)) if !profiles.is_empty() => Ok((root, profiles)),
        Some(Value::Object(_)) => Err(shape("profiles is empty".to_owned())),
        _ => Err(shape("profiles is not an object".to_owned())),
    }
}

/// The four values of one profile, or what is wrong with them.
fn profile_values(profile: &Value) -> Result<ThresholdValues, String> {
    let number = |threshold: Threshold| -> Result<Number, String> {
        let member = threshold.profile_member().unwrap_or_default();
        match profile.get(member) {
            Some(Value::Number(number)) => Ok(number.clone()),
            _ => Err(format!("{member} is not a number")),
        }
    };
    let values = ThresholdValues {
        degraded_ingest_lag_seconds: number(Threshold::DegradedIngestLag)?,
        critical_ingest_lag_seconds: number(Threshold::CriticalIngestLag)?,
        degraded_transport_failure_streak: number(Threshold::DegradedTransportFailureStreak)?,
        critical_transport_failure_streak: number(Threshold::CriticalTransportFailureStreak)?,
    };
    for (degraded, critical, metric) in [
        (
            &values.degraded_ingest_lag_seconds,
            &values.critical_ingest_lag_seconds,
            Metric::IngestLag,
        ),
        (
            &values.degraded_transport_failure_streak,
            &values.critical_transport_failure_streak,
            Metric::TransportFailureStreak,
        ),
    ] {
        if critical.as_f64() < degraded.as_f64() {
            let noun = metric.noun();
            return Err(format!("critical {noun} {critical} is below {degraded}"));
        }
    }
    Ok(values)
}

/// What is in force before any override: a label and values as found.
///
/// Values stay unparsed, because an override saves a profile whose own value
/// could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThresholdBase {
    profile: Option<String>,
    values: [Option<Value>; 6],
}

impl ThresholdBase {
    /// The defaults of `ops-manager-health` under a label (chapter 02 §3.2);
    /// an empty label is none.
    pub fn health_defaults(profile: Option<&str>) -> Self {
        let defaults = HealthThresholds::default();
        let values = Threshold::ALL.map(|threshold| Some(threshold.of(&defaults).into()));
        Self {
            profile: profile.filter(|name| !name.is_empty()).map(str::to_owned),
            values,
        }
    }

    /// What a replaced profile stage printed (chapter 02 §2.7): `profile` and
    /// `values`, none of them checked yet.
    pub fn from_stage(printed: &Value) -> Self {
        let values = printed.get("values");
        let profile = json::non_empty_text(printed.get("profile"));
        Self::with_profile(profile.as_deref(), |member| {
            values.and_then(|values| values.get(member)).cloned()
        })
    }

    fn with_profile(profile: Option<&str>, value: impl Fn(&str) -> Option<Value>) -> Self {
        let mut base = Self::health_defaults(profile);
        for (slot, threshold) in base.values.iter_mut().zip(Threshold::ALL) {
            if let Some(member) = threshold.profile_member() {
                *slot = value(member);
            }
        }
        base
    }
}

impl From<&ResolvedProfile> for ThresholdBase {
    fn from(resolved: &ResolvedProfile) -> Self {
        let values = json::to_value(&resolved.values);
        Self::with_profile(Some(&resolved.profile), |member| {
            values.get(member).cloned()
        })
    }
}

/// Values given by flag, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThresholdOverrides([Option<String>; 6]);

impl ThresholdOverrides {
    /// Overrides one threshold; an empty text is a value, and a wrong one.
    pub fn set(&mut self, threshold: Threshold, text: impl Into<String>) {
        for (slot, slot_of) in self.0.iter_mut().zip(Threshold::ALL) {
            if slot_of == threshold {
                *slot = Some(text.into());
                return;
            }
        }
    }

    /// What was given for `threshold`, as typed.
    pub fn typed(&self, threshold: Threshold) -> Option<&str> {
        let at = Threshold::ALL
            .iter()
            .position(|other| *other == threshold)?;
        self.0[at].as_deref()
    }

    /// [`set`](Self::set) for chains; `None` changes nothing.
    #[must_use]
    pub fn with(mut self, threshold: Threshold, text: Option<impl Into<String>>) -> Self {
        if let Some(text) = text {
            self.set(threshold, text);
        }
        self
    }
}

/// The six values in force: each override, else the value of `base`.
///
/// Fails with row 14 of §2.2 for the first value that is not a whole number
/// (saturating at 2^63−1), then with row 15 for the first inverted pair.
/// The label stays that of the profile.
pub fn effective(
    base: &ThresholdBase,
    overrides: &ThresholdOverrides,
) -> Result<HealthThresholds, ThresholdError> {
    let mut values = [0; 6];
    for (index, threshold) in Threshold::ALL.into_iter().enumerate() {
        let value = match &overrides.0[index] {
            Some(text) => json::digits_text(text),
            None => base.values[index].as_ref().and_then(json::digits),
        };
        values[index] = value.ok_or(ThresholdError::NotAnInteger(threshold))?;
    }
    for (pair, metric) in values.chunks_exact(2).zip(Metric::ALL) {
        if pair[1] < pair[0] {
            return Err(ThresholdError::Inverted(metric));
        }
    }
    let [
        ingest,
        ingest_critical,
        heartbeat,
        heartbeat_critical,
        streak,
        streak_critical,
    ] = values;
    Ok(HealthThresholds {
        profile: base.profile.clone(),
        degraded_ingest_lag_seconds: ingest,
        critical_ingest_lag_seconds: ingest_critical,
        degraded_heartbeat_lag_seconds: heartbeat,
        critical_heartbeat_lag_seconds: heartbeat_critical,
        degraded_transport_failure_streak: streak,
        critical_transport_failure_streak: streak_critical,
    })
}

impl Threshold {
    /// This threshold's value in `thresholds`.
    pub fn of(self, thresholds: &HealthThresholds) -> u64 {
        match self {
            Self::DegradedIngestLag => thresholds.degraded_ingest_lag_seconds,
            Self::CriticalIngestLag => thresholds.critical_ingest_lag_seconds,
            Self::DegradedHeartbeatLag => thresholds.degraded_heartbeat_lag_seconds,
            Self::CriticalHeartbeatLag => thresholds.critical_heartbeat_lag_seconds,
            Self::DegradedTransportFailureStreak => thresholds.degraded_transport_failure_streak,
            Self::CriticalTransportFailureStreak => thresholds.critical_transport_failure_streak,
        }
    }
}

//! Where configuration files come from: the flag, the environment, the
//! repository's `config/`, else the copy in this binary (contract README,
//! "How to read the chapters").

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use om_model::Artifact;
use om_store::read_bytes;

use crate::args::environment;
use crate::error::CliError;

/// Environment variable that names the threshold catalog.
pub const THRESHOLDS_VARIABLE: &str = "OPS_MANAGER_THRESHOLD_PROFILES_FILE";

const THRESHOLDS_NAME: &str = "ops-manager-threshold-profiles.v1.json";
const THRESHOLDS_BUILT_IN: &str =
    include_str!("../../../config/ops-manager-threshold-profiles.v1.json");

/// Environment variable that names the alert sink configuration.
pub const ALERT_SINKS_VARIABLE: &str = "OPS_MANAGER_ALERT_SINKS_FILE";

const ALERT_SINKS_NAME: &str = "ops-manager-alert-sinks.v1.json";
const ALERT_SINKS_BUILT_IN: &str = include_str!("../../../config/ops-manager-alert-sinks.v1.json");

/// A configuration document and where it came from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The document as found.
    pub artifact: Artifact,
    /// The path as given, or `builtin:<name>`.
    pub label: String,
    built_in: Option<&'static str>,
}

/// One kind of configuration: its file name and the copy in this binary.
struct Kind {
    name: &'static str,
    built_in: &'static str,
    parsed: &'static OnceLock<Artifact>,
}

impl Kind {
    /// The copy in this binary, parsed once per process.
    fn parsed(&self) -> Artifact {
        let parse = || Artifact::parse(self.built_in.as_bytes());
        self.parsed.get_or_init(parse).clone()
    }
}

impl Config {
    /// The threshold catalog: `flag`, [`THRESHOLDS_VARIABLE`],
    /// `<repo>/config/`, else the built-in one.
    pub fn thresholds(flag: Option<&str>, repo: Option<&Path>) -> Result<Self, CliError> {
        static PARSED: OnceLock<Artifact> = OnceLock::new();
        let kind = Kind {
            name: THRESHOLDS_NAME,
            built_in: THRESHOLDS_BUILT_IN,
            parsed: &PARSED,
        };
        Self::find(&kind, named(flag, THRESHOLDS_VARIABLE), repo)
    }

    /// The alert sinks: `flag`, [`ALERT_SINKS_VARIABLE`], `<repo>/config/`,
    /// else the built-in ones.
    pub fn alert_sinks(flag: Option<&str>, repo: Option<&Path>) -> Result<Self, CliError> {
        static PARSED: OnceLock<Artifact> = OnceLock::new();
        let kind = Kind {
            name: ALERT_SINKS_NAME,
            built_in: ALERT_SINKS_BUILT_IN,
            parsed: &PARSED,
        };
        Self::find(&kind, named(flag, ALERT_SINKS_VARIABLE), repo)
    }

    fn find(kind: &Kind, named: Option<String>, repo: Option<&Path>) -> Result<Self, CliError> {
        let path = named.map(PathBuf::from).or_else(|| {
            repo.map(|repo| repo.join("config").join(kind.name))
                .filter(|path| path.exists())
        });
        match path {
            Some(path) => {
                let bytes = read_bytes(&path)?;
                let parse = |bytes: Vec<u8>| Artifact::parse(without_mark(&bytes));
                Ok(Self {
                    artifact: bytes.map_or(Artifact::Absent, parse),
                    label: path.display().to_string(),
                    built_in: None,
                })
            }
            None => Ok(Self {
                artifact: kind.parsed(),
                label: format!("builtin:{}", kind.name),
                built_in: Some(kind.built_in),
            }),
        }
    }

    /// The document as a file, for a hook that reads it.
    ///
    /// A built-in document is written to a temporary file that lives as long
    /// as the result.
    pub fn as_file(&self) -> Result<ConfigFile, CliError> {
        let Some(text) = self.built_in else {
            return Ok(ConfigFile {
                path: self.label.clone(),
                _temporary: None,
            });
        };
        let temporary = tempfile::Builder::new()
            .prefix("ops-manager-")
            .suffix(".json")
            .tempfile()?;
        std::fs::write(temporary.path(), text)?;
        let path = temporary.path().display().to_string();
        Ok(ConfigFile {
            path,
            _temporary: Some(temporary),
        })
    }
}

/// The file that the user named.
pub(crate) fn named(flag: Option<&str>, variable: &str) -> Option<String> {
    flag.map(str::to_owned).or_else(|| environment(variable))
}

/// Some editors put a byte order mark before the text.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A configuration file that exists.
#[derive(Debug)]
pub struct ConfigFile {
    /// Its path.
    pub path: String,
    _temporary: Option<tempfile::NamedTempFile>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use om_alerts::SinkConfig;
    use om_reconcile::thresholds;

    #[test]
    fn the_built_in_catalog_has_the_contracts_profiles() {
        let config = Config::thresholds(None, None).expect("is built in");
        assert_eq!(
            config.label,
            "builtin:ops-manager-threshold-profiles.v1.json"
        );
        let names = thresholds::list(&config.artifact, &config.label).expect("is valid");
        assert_eq!(names, ["balanced", "relaxed", "strict"]);
        let profile = thresholds::resolve(&config.artifact, &config.label, None).expect("default");
        assert_eq!(profile.profile, "balanced");
    }

    #[test]
    fn the_built_in_alert_sinks_are_valid_and_disabled() {
        let config = Config::alert_sinks(None, None).expect("is built in");
        assert_eq!(config.label, "builtin:ops-manager-alert-sinks.v1.json");
        let sinks = SinkConfig::read(&config.artifact, &config.label).expect("is valid");
        assert_eq!(
            sinks.list(),
            [
                "webhook-default\twebhook\tfalse",
                "slack-default\tslack\tfalse",
                "pagerduty-default\tpagerduty_events\tfalse",
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_configuration() {
        assert_eq!(without_mark(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(without_mark(b"{}"), b"{}");
    }
}

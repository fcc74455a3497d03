//! Where configuration files come from: the flag, the environment, the
//! repository's `config/`, else the copy in this binary (contract README,
//! "How to read the chapters").

use std::path::{Path, PathBuf};

use om_model::Artifact;
use om_store::read_artifact;

use crate::args::environment;
use crate::error::CliError;

/// Environment variable that names the threshold catalog.
pub const THRESHOLDS_VARIABLE: &str = "OPS_MANAGER_THRESHOLD_PROFILES_FILE";

const THRESHOLDS_NAME: &str = "ops-manager-threshold-profiles.v1.json";
const THRESHOLDS_BUILT_IN: &str =
    include_str!("../../../config/ops-manager-threshold-profiles.v1.json");

/// A configuration document and where it came from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The document as found.
    pub artifact: Artifact,
    /// The path as given, or `builtin:<name>`.
    pub label: String,
    built_in: Option<&'static str>,
}

impl Config {
    /// The threshold catalog: `flag`, [`THRESHOLDS_VARIABLE`],
    /// `<repo>/config/`, else the built-in one.
    pub fn thresholds(flag: Option<&str>, repo: Option<&Path>) -> Result<Self, CliError> {
        let named = flag
            .map(str::to_owned)
            .or_else(|| environment(THRESHOLDS_VARIABLE));
        let path = named.map(PathBuf::from).or_else(|| {
            repo.map(|repo| repo.join("config").join(THRESHOLDS_NAME))
                .filter(|path| path.exists())
        });
        match path {
            Some(path) => Ok(Self {
                artifact: read_artifact(&path)?,
                label: path.display().to_string(),
                built_in: None,
            }),
            None => Ok(Self {
                artifact: Artifact::parse(THRESHOLDS_BUILT_IN.as_bytes()),
                label: format!("builtin:{THRESHOLDS_NAME}"),
                built_in: Some(THRESHOLDS_BUILT_IN),
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
}

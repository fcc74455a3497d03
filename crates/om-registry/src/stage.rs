//! The registry as every other fleet command gets it: from the file, or from
//! the hook (chapters 05 §1.7, 06 §0.2).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use om_model::Timestamp;
use om_model::fleet::registry::{PolicyMode, Registry};
use om_model::json::{self, ParseError};
use om_stage::{Hook, RunOptions, StageOutput};
use om_store::{FleetFile, RepoLayout, read_bytes};
use serde_json::Value;

use crate::error::Rejection;
use crate::evaluate::{Evaluation, evaluate};
use crate::last_look::Written;
use crate::normalize::{Defaults, normalize};

/// Names the executable that replaces this stage.
pub const HOOK_VARIABLE: &str = "OPS_MANAGER_FLEET_REGISTRY_SCRIPT";

/// Where the registry comes from.
#[derive(Clone, Debug)]
pub struct RegistryStage {
    /// The repository, absolute.
    pub repo: PathBuf,
    /// The registry file as it was given.
    pub file: String,
    /// What replaces the built-in stage.
    pub hook: Option<Hook>,
}

/// A stage that failed, as its command would have: the exit code, and what
/// it printed on stderr (`error: …`, maybe several lines).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct StageFailure {
    /// 1 to 255.
    pub exit_code: u8,
    /// Never empty, without the last newline.
    pub text: String,
}

/// A registry that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The normalised document: [`Self::registry`] as a value, or what the
    /// hook printed (`null` if it printed nothing).
    pub document: Value,
    /// The same with types.
    pub registry: Registry,
    /// The mode of a hook that is none of ours, as text (empty if it printed
    /// nothing); [`Self::registry`] then says advisory.
    pub unsupported_mode: Option<String>,
    /// Rule 30.8: the review deadline that has passed, as written (D14).
    pub review_lapsed: Option<String>,
    /// What a hook printed on stderr; it passes through.
    pub diagnostics: String,
}

impl RegistryStage {
    /// The stage for `repo`, which is absolute: `file` as given, else the
    /// default path; the hook of the environment.
    pub fn new(repo: &Path, file: Option<&str>) -> Self {
        let default = || {
            let files = RepoLayout::new(repo.to_owned()).fleet_files();
            files.path(FleetFile::Registry).display().to_string()
        };
        Self {
            repo: repo.to_owned(),
            file: file.map_or_else(default, str::to_owned),
            hook: Hook::from_env(HOOK_VARIABLE),
        }
    }

    /// Gets the registry. A lapsed review is reported, not refused (D14).
    pub fn load(&self, now: Timestamp) -> Result<Loaded, StageFailure> {
        match &self.hook {
            Some(hook) => self.hooked(hook, now),
            None => self.built_in(now),
        }
    }

    /// Reads and judges the file, hook or not.
    pub fn read(&self, now: Timestamp) -> Result<Evaluation, Rejection> {
        let Some(bytes) = read_bytes(Path::new(&self.file))? else {
            let file = self.file.clone();
            return Err(Rejection::NotFound { file });
        };
        evaluate(&bytes, &self.file, now)
    }

    /// What the registry says just before an action (decision D15): the file
    /// as written, or the hook's output.
    pub fn look(&self, now: Timestamp) -> Written {
        let Some(hook) = &self.hook else {
            let bytes = read_bytes(Path::new(&self.file));
            return Written::from_file(bytes.ok().flatten().as_deref(), now);
        };
        let output = self.run(hook);
        let printed = json::parse(&output.stdout).ok();
        Written::from_hook(printed.filter(|_| output.success()))
    }

    fn built_in(&self, now: Timestamp) -> Result<Loaded, StageFailure> {
        let evaluation = self.read(now)?;
        let review_lapsed = evaluation.review_lapsed.clone();
        let registry = evaluation.accepted()?;
        Ok(Loaded {
            document: json::to_value(&registry),
            registry,
            unsupported_mode: None,
            review_lapsed,
            diagnostics: String::new(),
        })
    }

    fn hooked(&self, hook: &Hook, now: Timestamp) -> Result<Loaded, StageFailure> {
        let output = self.run(hook);
        if !output.success() {
            return Err(failed(hook, &output));
        }
        let document = match json::parse(&output.stdout) {
            Ok(document) => document,
            Err(ParseError::Blank) => Value::Null,
            Err(cause) => {
                let text = format!(
                    "error: invalid fleet registry JSON: {} printed: {cause}",
                    hook.variable()
                );
                return Err(StageFailure { exit_code: 1, text });
            }
        };
        let registry = normalize(&document, &self.file, now, Defaults::Hook).map_err(|what| {
            let text = format!("error: {what} (in what {} printed)", hook.variable());
            StageFailure { exit_code: 1, text }
        })?;
        let guarded = registry.policy.mode == PolicyMode::GuardedAuto;
        let lapsed = registry.policy.autonomous.governance.lapsed(now);
        Ok(Loaded {
            review_lapsed: lapsed.filter(|_| guarded).map(str::to_owned),
            unsupported_mode: unsupported_mode(&document),
            document,
            registry,
            diagnostics: output.stderr_text(),
        })
    }

    fn run(&self, hook: &Hook) -> StageOutput {
        let arguments = [
            OsStr::new("--repo"),
            self.repo.as_os_str(),
            OsStr::new("--registry-file"),
            OsStr::new(&self.file),
        ];
        hook.run(&arguments, &RunOptions::default())
    }
}

impl From<Rejection> for StageFailure {
    fn from(rejection: Rejection) -> Self {
        Self {
            exit_code: 1,
            text: format!("error: {rejection}"),
        }
    }
}

/// The hook's own end, with a word of ours where it said nothing.
fn failed(hook: &Hook, output: &StageOutput) -> StageFailure {
    let said = output.stderr_text();
    let said = said.trim_end();
    let text = if said.is_empty() {
        format!(
            "error: {} failed with exit code {} and said nothing",
            hook.variable(),
            output.exit_code
        )
    } else {
        said.to_owned()
    };
    StageFailure {
        exit_code: u8::try_from(output.exit_code).unwrap_or(1).max(1),
        text,
    }
}

/// A mode that is present and none of ours.
fn unsupported_mode(document: &Value) -> Option<String> {
    if document.is_null() {
        return Some(String::new());
    }
    let mode = json::present(document.get("policy").and_then(|policy| policy.get("mode")))?;
    let known = mode.as_str().and_then(PolicyMode::parse).is_some();
    (!known).then(|| json::text(mode))
}

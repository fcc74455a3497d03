//! `ops-manager-profile-drift` (chapter 02 §6).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_model::drift::Confidence;
use om_model::json;
use om_reconcile::drift::{self, DriftInputs};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, LoopFile, RepoLayout, Scope, read_bytes,
};

use super::telemetry_summary::DEFAULT_WINDOW;
use crate::args::{Target, at_least_one, given};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::config::Config;
use crate::error::CliError;

/// How often an evaluation starts over because the drift state was changed
/// between reading and writing it.
const ATTEMPTS: u32 = 5;

/// Arguments of `ops-manager-profile-drift`.
#[derive(Args, Debug)]
pub struct ProfileDrift {
    #[command(flatten)]
    target: Target,
    /// Profile in force [default: none]
    #[arg(long, value_name = "NAME")]
    applied_profile: Option<String>,
    /// Profile that fits [default: none]
    #[arg(long, value_name = "NAME")]
    recommended_profile: Option<String>,
    /// Threshold catalog [default: $OPS_MANAGER_THRESHOLD_PROFILES_FILE, else
    /// <repo>/config/ops-manager-threshold-profiles.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    thresholds_file: Option<String>,
    /// Confidence of the recommendation: low, medium or high [default: low]
    #[arg(long, value_name = "LEVEL")]
    recommendation_confidence: Option<String>,
    /// Least confidence that counts as drift: low, medium or high [default: medium]
    #[arg(long, value_name = "LEVEL")]
    min_confidence: Option<String>,
    /// Mismatches in a row before drift is active [default: 3]
    #[arg(long, value_name = "N")]
    required_streak: Option<String>,
    /// Passes behind the recommendation, recorded only [default: 200]
    #[arg(long, value_name = "N")]
    summary_window: Option<String>,
    /// Why the profile is recommended
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
    /// Drift state [default: <repo>/.superloop/ops-manager/<loop>/profile-drift.json]
    #[arg(long, value_name = "FILE")]
    drift_state_file: Option<String>,
    /// Drift rows [default: telemetry/profile-drift.jsonl beside it]
    #[arg(long, value_name = "FILE")]
    drift_history_file: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for ProfileDrift {
    const NAME: &'static str = "ops-manager-profile-drift";
    const SUMMARY: &'static str = "Compare applied and recommended threshold profile";
    const ABOUT: &'static str = "Compare the applied threshold profile with the recommended one, \
        record the evaluation, and say whether the mismatch has lasted.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager-profile-drift --repo . --loop nightly --applied-profile balanced \\
    --recommended-profile relaxed --recommendation-confidence high --pretty

Exit codes: 0 evaluated, whatever the result; 1 a flag or file is invalid
(nothing recorded).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let required_streak = at_least_one("--required-streak", self.required_streak.as_ref(), 3)?;
        let summary_window = at_least_one(
            "--summary-window",
            self.summary_window.as_ref(),
            DEFAULT_WINDOW,
        )?;
        let recommendation_confidence = level(
            "--recommendation-confidence",
            self.recommendation_confidence.as_ref(),
            Confidence::Low,
        )?;
        let minimum_confidence = level(
            "--min-confidence",
            self.min_confidence.as_ref(),
            Confidence::Medium,
        )?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let catalog =
            Config::thresholds(given(self.thresholds_file.as_ref()), Some(layout.repo()))?;
        let applied = given(self.applied_profile.as_ref()).unwrap_or_default();
        let recommended = given(self.recommended_profile.as_ref()).unwrap_or_default();
        drift::check_catalog(&catalog.artifact, &catalog.label, applied, recommended)?;
        let files = layout.loop_files(&loop_id);
        let path =
            |flag: Option<&String>, default: PathBuf| given(flag).map_or(default, PathBuf::from);
        let state = path(
            self.drift_state_file.as_ref(),
            files.path(LoopFile::ProfileDrift),
        );
        let history = path(
            self.drift_history_file.as_ref(),
            files.path(LoopFile::ProfileDriftRows),
        );
        let scope = Scope::open(files.scope_dir())?;
        let _turn = scope.run_lock("profile-drift")?;
        let mut attempt = 1;
        loop {
            let bytes = read_bytes(&state)?;
            let previous = bytes
                .as_deref()
                .map_or_else(Default::default, om_model::Artifact::parse);
            let document = drift::evaluate(
                &DriftInputs {
                    loop_id: &loop_id,
                    applied,
                    recommended,
                    recommendation_confidence,
                    minimum_confidence,
                    required_streak,
                    summary_window,
                    rationale: given(self.rationale.as_ref()).unwrap_or_default(),
                    previous: &previous,
                    previous_file: &state.display().to_string(),
                },
                now(),
            )?;
            let options = DocumentOptions {
                expect: Expect::found(bytes.as_deref()),
                ..DocumentOptions::default()
            };
            let commit = Commit::new()
                .document_with(&state, json::compact(&document) + "\n", options)
                .row(&history, json::compact(&drift::row(&document)));
            match scope.commit(commit) {
                Ok(_) => {
                    print_document(out, &document, self.pretty)?;
                    return Ok(0);
                }
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A confidence flag; an empty value is a value, and a wrong one.
fn level(flag: &str, value: Option<&String>, default: Confidence) -> Result<Confidence, CliError> {
    let Some(text) = value else {
        return Ok(default);
    };
    Confidence::parse(text)
        .ok_or_else(|| CliError::new(format!("{flag} must be one of: low, medium, high")))
}

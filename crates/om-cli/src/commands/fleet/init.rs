//! `ops-manager fleet init`: a registry to begin with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::fleet::registry::{
    EditEventType, EditGovernance, EditSource, GovernanceCategory, PolicyEditRow, PolicyMode,
};
use om_model::{LoopId, Timestamp, json};
use om_registry::file::EDIT_LOCK;
use om_registry::starter::starter;
use om_registry::{RegistryStage, evaluate};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, FleetFile, RepoLayout, Scope, read_bytes,
};
use serde_json::Map;

use crate::args::{given, resolve_repo, trace_id};
use crate::command::{Logging, now, output_error};
use crate::commands::fleet_registry::refused;
use crate::console::confirm;
use crate::error::CliError;

/// What it is for.
pub(super) const ABOUT: &str = "Find the loops of a repository and write a valid registry with \
all of them, in which nothing happens by itself.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
Loops are the folders of .superloop/loops/ and .superloop/ops-manager/, and
those named with --loop. What every member of the registry means:
ops-manager fleet-registry --help

An existing registry is replaced only if you agree (on a terminal, or --yes);
it is kept beside the new one, as <name>.replaced-<time>, with a number behind if
that is taken.

Examples:
  ops-manager fleet init
  ops-manager fleet init --repo /srv/app --fleet-id night --loop nightly

Exit codes: 0 written; 1 no loop was found, or nothing was written.";

/// Arguments of `ops-manager fleet init`.
#[derive(Args, Debug)]
pub struct Init {
    /// Repository whose loops they are [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Name of the fleet [default: that of the repository's folder]
    #[arg(long, value_name = "NAME")]
    fleet_id: Option<String>,
    /// A loop that has left no files here yet; repeatable
    #[arg(long = "loop", value_name = "ID")]
    loops: Vec<String>,
    /// Replace an existing registry without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

/// Most registries that are replaced, and kept, within one second.
const MOST_KEPT: u32 = 10_000;

/// Where a loop was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// Its runtime's files are here.
    Runtime,
    /// Only the manager has files of it: it runs elsewhere.
    Manager,
    /// Somebody said so.
    Named,
}

impl Init {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let layout = RepoLayout::new(repo.clone());
        let file = RegistryStage::new(&repo, given(self.registry_file.as_ref())).file;
        let loops = self.find(&layout)?;
        if loops.is_empty() {
            let folders = layout.superloop_dir().display().to_string();
            let message = format!("no loop was found in {folders}/loops; name one with --loop");
            return Err(CliError::new(message));
        }
        let ids: Vec<LoopId> = loops.keys().cloned().collect();
        let text = starter(&self.fleet_name(&repo), &ids);
        let at = now();
        evaluate(text.as_bytes(), &file, at)
            .and_then(om_registry::Evaluation::valid)
            .map_err(refused)?;
        let found = read_bytes(Path::new(&file))?;
        if found.is_some() && !self.agreed(&file)? {
            return Err(CliError::new("nothing was written"));
        }
        let commit = self.replaced(&layout, &file, found.as_deref(), &text, at);
        let kept = write(&layout, &file, found.as_deref(), &text, commit, at)?;
        let next = super::registry_arguments(&repo, self.registry_file.as_ref());
        let told = told(&file, kept.as_deref(), &loops, &next);
        out.write_all(told.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }

    /// Every loop, by id.
    fn find(&self, layout: &RepoLayout) -> Result<BTreeMap<LoopId, Trace>, CliError> {
        let mut found = BTreeMap::new();
        for id in &self.loops {
            found.insert(LoopId::new(id.as_str())?, Trace::Named);
        }
        let runtime = layout.superloop_dir().join("loops");
        for (folder, trace) in [
            (layout.ops_root(), Trace::Manager),
            (runtime, Trace::Runtime),
        ] {
            for id in folders(&folder)? {
                found.insert(id, trace);
            }
        }
        Ok(found)
    }

    fn fleet_name(&self, repo: &Path) -> String {
        let folder = || {
            repo.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let named = given(self.fleet_id.as_ref()).map(str::to_owned);
        named
            .or_else(folder)
            .unwrap_or_else(|| om_model::fleet::registry::DEFAULT_FLEET_ID.to_owned())
    }

    /// The audit row of a policy that is replaced by another.
    fn replaced(
        &self,
        layout: &RepoLayout,
        file: &str,
        found: Option<&[u8]>,
        text: &str,
        at: Timestamp,
    ) -> Commit {
        let Some(found) = found else {
            return Commit::new();
        };
        let policy = |bytes: &[u8]| {
            let document = json::parse(bytes).unwrap_or_default();
            let policy = document.get("policy").cloned().unwrap_or_default();
            Map::from_iter([("policy".to_owned(), policy)])
        };
        let journal = layout.fleet_files().path(FleetFile::PolicyGovernance);
        let row = PolicyEditRow {
            timestamp: at,
            category: GovernanceCategory::FleetPolicyGovernance,
            event_type: EditEventType::AutonomousPolicyEdited,
            fleet_id: self.fleet_name(layout.repo()),
            trace_id: trace_id(None),
            mode: PolicyMode::Advisory,
            actor: super::somebody(),
            command: "ops-manager fleet init".to_owned(),
            // In advisory mode a person confirms everything.
            narrowing: true,
            before: policy(found),
            after: policy(text.as_bytes()),
            governance: EditGovernance::default(),
            source: EditSource {
                registry_file: file.to_owned(),
                governance_audit_file: journal.display().to_string(),
            },
        };
        Commit::new().row(journal, json::compact(&row))
    }

    fn agreed(&self, file: &str) -> Result<bool, CliError> {
        if self.yes {
            return Ok(true);
        }
        if !confirm::is_somebody_there() {
            let message = format!("{file} exists; add --yes to replace it (it is kept beside)");
            return Err(CliError::new(message));
        }
        confirm::ask(&format!(
            "{file} exists, with its policy and all its switches. Replace it?"
        ))
    }
}

/// The names of folders that can be loops; hidden ones are not.
pub(super) fn folders(parent: &Path) -> Result<Vec<LoopId>, CliError> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(CliError::at(parent, error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| CliError::at(parent, error))?;
        let name = entry.file_name();
        let id = name.to_str().filter(|name| !name.starts_with('.'));
        let id = id.and_then(|name| LoopId::new(name).ok());
        ids.extend(id.filter(|_| entry.path().is_dir()));
    }
    Ok(ids)
}

/// Writes the registry, and keeps what it replaces; returns where.
fn write(
    layout: &RepoLayout,
    file: &str,
    found: Option<&[u8]>,
    text: &str,
    commit: Commit,
    at: Timestamp,
) -> Result<Option<String>, CliError> {
    let scope = Scope::open(layout.fleet_scope_dir())?;
    let path = absolute(file)?;
    let options = DocumentOptions {
        expect: Expect::found(found),
        ..DocumentOptions::default()
    };
    let commit = commit.document_with(&path, text, options);
    let _lock = scope.run_lock(EDIT_LOCK)?;
    let Some(found) = found else {
        return written(file, &path, scope.commit(commit)).map(|()| None);
    };
    let new = DocumentOptions {
        expect: Expect::Absent,
        ..DocumentOptions::default()
    };
    for kept in kept_names(file, at) {
        let beside = absolute(&kept)?;
        // What is kept already is evidence; a dangling link is taken, too.
        if beside.symlink_metadata().is_ok() {
            continue;
        }
        let commit = commit.clone().document_with(&beside, found, new);
        match scope.commit(commit) {
            Err(CommitError::Changed { path: taken }) if taken == beside => {}
            outcome => return written(file, &path, outcome).map(|()| Some(kept)),
        }
    }
    let message = format!("too many replaced registries beside {file}; move some away");
    Err(CliError::new(message))
}

/// Names for what is replaced at `at`, the next one for when one is taken.
fn kept_names(file: &str, at: Timestamp) -> impl Iterator<Item = String> {
    let time = at.to_string().replace([':', '-'], "");
    let first = format!("{file}.replaced-{time}");
    let others = (2..=MOST_KEPT).map({
        let first = first.clone();
        move |count| format!("{first}-{count}")
    });
    std::iter::once(first).chain(others)
}

fn absolute(file: &str) -> Result<PathBuf, CliError> {
    std::path::absolute(file).map_err(|error| CliError::at(Path::new(file), error))
}

fn written<T>(file: &str, path: &Path, outcome: Result<T, CommitError>) -> Result<(), CliError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(CommitError::Changed { path: changed }) if changed == path => Err(CliError::new(
            format!("fleet registry changed while it was being edited: {file}"),
        )),
        Err(error) => Err(error.into()),
    }
}

/// What was done, and what comes next, with the arguments `next`.
fn told(file: &str, kept: Option<&str>, loops: &BTreeMap<LoopId, Trace>, next: &str) -> String {
    let count = match loops.len() {
        1 => "1 loop".to_owned(),
        count => format!("{count} loops"),
    };
    let mut lines = vec![format!(
        "Wrote {file}: {count}, mode advisory, nothing happens by itself."
    )];
    lines.extend(kept.map(|kept| format!("What it replaced is kept as {kept}")));
    let elsewhere = loops.iter().filter(|(_, trace)| **trace == Trace::Manager);
    let elsewhere: Vec<&str> = elsewhere.map(|(id, _)| id.as_str()).collect();
    if !elsewhere.is_empty() {
        lines.push(format!(
            "Not running here: {}. Set transport to sprite_service and service.baseUrl.",
            elsewhere.join(", ")
        ));
    }
    lines.push(format!(
        "Next:\n  ops-manager fleet-registry {next} --pretty\n  \
         ops-manager fleet-reconcile {next} --pretty\n\
         What every member means: ops-manager fleet-registry --help"
    ));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_kept_is_ever_replaced() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let layout = RepoLayout::new(scratch.path().to_owned());
        let file = scratch.path().join("reg.json").display().to_string();
        let at = Timestamp::parse("2031-05-04T12:00:00Z").expect("a timestamp");
        let replace = |text: &str| {
            let found = read_bytes(Path::new(&file)).expect("can be read");
            write(&layout, &file, found.as_deref(), text, Commit::new(), at).expect("is written")
        };
        assert_eq!(replace("first"), None);
        for (text, suffix, kept_text) in [
            ("second", "", "first"),
            ("third", "-2", "second"),
            ("fourth", "-3", "third"),
        ] {
            let kept = replace(text).expect("is kept");
            assert_eq!(kept, format!("{file}.replaced-20310504T120000Z{suffix}"));
            assert_eq!(fs::read_to_string(kept).expect("is text"), kept_text);
        }
        let first = format!("{file}.replaced-20310504T120000Z");
        assert_eq!(fs::read_to_string(first).expect("is text"), "first");
    }

    #[test]
    fn loops_are_folders_whose_names_are_ids() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        for name in ["b", "a ü", ".store", "fleet"] {
            fs::create_dir(scratch.path().join(name)).expect("folder");
        }
        fs::write(scratch.path().join("file"), "").expect("file");
        let mut found = folders(scratch.path()).expect("can be read");
        found.sort();
        let names: Vec<&str> = found.iter().map(LoopId::as_str).collect();
        assert_eq!(names, ["a ü", "b"]);
        assert!(
            folders(&scratch.path().join("none"))
                .expect("is empty")
                .is_empty()
        );
    }
}

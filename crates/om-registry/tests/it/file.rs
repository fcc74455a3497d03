//! Editing the file while others do.

use std::fs;

use om_registry::MemberPath;
use om_registry::file::{RegistryFile, WriteError};
use om_store::{Commit, Scope};

use super::{GUARDED, now, repository};

#[test]
fn an_edit_changes_its_bytes_only_and_brings_its_rows() {
    let (_folder, path) = repository(GUARDED);
    let scope = Scope::open(path.parent().expect("a folder")).expect("a scope");
    let mut file = RegistryFile::read(&path.display().to_string()).expect("is there");
    let switch = MemberPath::dotted("policy.autonomous.rollout.canaryPercent");
    file.text.set(&switch, &50.into()).expect("can be set");
    assert!(file.is_changed());
    file.after(now())
        .expect("is JSON")
        .valid()
        .expect("is valid");
    let journal = scope.dir().join("audit.jsonl");
    let commit = file.add_to(Commit::new().row(&journal, "{}"));
    file.commit(&scope, commit).expect("is written");
    let expected = GUARDED.replace("\"canaryPercent\": 25", "\"canaryPercent\": 50");
    assert_eq!(fs::read_to_string(&path).expect("is there"), expected);
    assert_eq!(fs::read_to_string(journal).expect("is there"), "{}\n");
}

#[test]
fn an_edit_of_something_else_is_refused_and_nothing_is_written() {
    let (_folder, path) = repository(GUARDED);
    let scope = Scope::open(path.parent().expect("a folder")).expect("a scope");
    let name = path.display().to_string();
    let mut file = RegistryFile::read(&name).expect("is there");
    file.text
        .set(&MemberPath::dotted("fleetId"), &"x".into())
        .expect("can be set");
    fs::write(&path, "{}").expect("somebody else writes");
    let journal = scope.dir().join("audit.jsonl");
    let commit = file.add_to(Commit::new().row(&journal, "{}"));
    let error = file.commit(&scope, commit).expect_err("is refused");
    assert!(matches!(error, WriteError::Changed { .. }));
    assert_eq!(
        error.to_string(),
        format!("fleet registry changed while it was being edited: {name}")
    );
    assert_eq!(fs::read_to_string(&path).expect("is there"), "{}");
    assert!(!journal.exists());
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let (folder, path) = repository("[");
    let broken = RegistryFile::read(&path.display().to_string()).expect_err("is broken");
    assert!(
        broken
            .to_string()
            .starts_with("invalid fleet registry JSON: "),
        "{broken}"
    );
    let missing = folder.path().join("none").display().to_string();
    let error = RegistryFile::read(&missing).expect_err("is missing");
    assert_eq!(
        error.to_string(),
        format!("fleet registry file not found: {missing}")
    );
}

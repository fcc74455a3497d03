//! Where the runtime is found, and what cannot be started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use om_control::runtime::Runtime;
use om_model::control::{ControlStatus, Intent};

use crate::support::{Repo, local};

#[test]
fn a_named_runtime_comes_first_then_the_repositorys_then_the_path() {
    let repo = Repo::new();
    let bin = repo.root().join("bin");
    fs::create_dir(&bin).expect("folder");
    let path = Some(bin.as_os_str());
    let speak = |runtime: Runtime| {
        let outcome = repo.control(Intent::Approve, &local(runtime));
        outcome.row.command_output.unwrap_or_default()
    };
    repo.script("bin/superloop", "echo superloop on the path");
    assert_eq!(
        speak(Runtime::find(None, &repo.path(), path)),
        "superloop on the path"
    );
    repo.script("bin/superloop.sh", "echo superloop.sh on the path");
    assert_eq!(
        speak(Runtime::find(None, &repo.path(), path)),
        "superloop.sh on the path"
    );
    repo.script("repo/superloop.sh", "echo the repository");
    assert_eq!(
        speak(Runtime::find(None, &repo.path(), path)),
        "the repository"
    );
    assert_eq!(
        speak(Runtime::find(Some("".as_ref()), &repo.path(), path)),
        "the repository"
    );
    let named = repo.script("named runtime", "echo named");
    let named = Some(named.as_os_str());
    assert_eq!(speak(Runtime::find(named, &repo.path(), path)), "named");
}

#[test]
fn a_named_runtime_is_one_word_and_quoted_as_one() {
    let repo = Repo::new();
    let named = repo.script("my runtime", "exit 0");
    let runtime = Runtime::find(Some(named.as_os_str()), &repo.path(), None);
    let outcome = repo.control(Intent::Cancel, &local(runtime));
    assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
    assert!(
        outcome.row.command.contains("/my\\ runtime cancel --repo "),
        "{}",
        outcome.row.command
    );
}

#[test]
fn a_runtime_that_cannot_be_executed_is_126() {
    let repo = Repo::new();
    let plain = repo.script("plain", "exit 0");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).expect("not executable");
    let runtime = Runtime::find(Some(plain.as_os_str()), &repo.path(), None);
    let outcome = repo.control(Intent::Cancel, &local(runtime));
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 126));
    assert!(
        outcome
            .row
            .command_output
            .expect("why")
            .contains("Permission denied")
    );
}

//! A pass as a library call in this process.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;

/// How long one reconcile pass takes without the start and end of a process:
/// everything from the parsed arguments to the printed document.
#[cfg(feature = "bench")]
pub(super) fn reconcile(repo: &Path, loop_id: &str) -> Result<Duration, Error> {
    use clap::{Args, FromArgMatches};
    use om_cli::CommandLine;
    use om_cli::commands::reconcile::Reconcile;

    let repo = repo.display().to_string();
    let command = clap::Command::new("reconcile").no_binary_name(true);
    let arguments = Reconcile::augment_args(command)
        .try_get_matches_from(["--repo", &repo, "--loop", loop_id])
        .and_then(|matches| Reconcile::from_arg_matches(&matches))
        .map_err(|error| Error::Bench(error.to_string()))?;
    super::sample::timed(|| {
        let code = arguments
            .run(&mut std::io::sink())
            .map_err(|error| Error::Bench(error.message))?;
        if code == 0 {
            Ok(())
        } else {
            Err(Error::Bench(format!("reconcile ended with {code}")))
        }
    })
}

/// Without the feature there is no library to call.
#[cfg(not(feature = "bench"))]
pub(super) fn reconcile(_: &Path, _: &str) -> Result<Duration, Error> {
    let message = "this xtask was built without its `bench` feature; run `cargo xtask bench`";
    Err(Error::Bench(message.to_owned()))
}

//! A sprite service as an operator runs it: a process on a port of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::harness::Repo;

/// A running `ops-manager-sprite-service`; killed when dropped.
pub(crate) struct Service {
    process: Child,
    /// `http://127.0.0.1:<port>`.
    pub(crate) base_url: String,
}

impl Service {
    /// Serves `repo`, whose variables the service sees too.
    pub(crate) fn start(repo: &Repo, arguments: &[&str]) -> Self {
        let path = repo.path().display().to_string();
        let mut process = repo
            .command("ops-manager-sprite-service")
            .args(["--repo", &path, "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        let stdout = process.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let listening = "ops-manager sprite service listening on ";
        let base_url = line.strip_prefix(listening).map(str::trim_end);
        Self {
            process,
            base_url: base_url.unwrap_or_else(|| panic!("{line:?}")).to_owned(),
        }
    }

    /// What reaches a loop through this service.
    pub(crate) fn flags(&self) -> [&str; 6] {
        [
            "--transport",
            "sprite_service",
            "--service-base-url",
            &self.base_url,
            // A failure is what the test wants to see, without waiting.
            "--retry-backoff-seconds",
            "0",
        ]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may be gone already: some tests end it themselves.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

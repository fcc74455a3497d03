//! What stands on the other side: sprite services, as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::Program;
use crate::error::CliError;

/// A sprite service on a loopback port; ended when dropped.
#[derive(Debug)]
pub(in crate::console) struct Sprite {
    child: Child,
    /// Where it answers.
    pub(in crate::console) url: String,
}

impl Sprite {
    /// Starts one beside the loops of `repo`, on a free port or on `port`.
    pub(in crate::console) fn start(
        program: &Program,
        repo: &Path,
        port: Option<u16>,
    ) -> Result<Self, CliError> {
        let (repo, port) = (repo.display().to_string(), port.unwrap_or(0).to_string());
        let arguments = ["sprite-service", "--port", &port, "--repo", &repo];
        let mut command = program.command(&arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut sprite = Self {
            child: command.spawn()?,
            url: String::new(),
        };
        let mut line = String::new();
        if let Some(stdout) = sprite.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let url = url.ok_or_else(|| CliError::new("the sprite service did not start"))?;
        url.clone_into(&mut sprite.url);
        Ok(sprite)
    }

    /// The port that it listens on.
    pub(in crate::console) fn port(&self) -> Option<u16> {
        self.url
            .trim_end_matches('/')
            .rsplit(':')
            .next()?
            .parse()
            .ok()
    }
}

impl Drop for Sprite {
    fn drop(&mut self) {
        // Nothing of it is worth more than an end that is certain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

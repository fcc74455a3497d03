//! What stands on the other side in a demo: sprite services, as processes of
//! their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::own_program;
use crate::error::CliError;

/// A sprite service on a free loopback port; ended when dropped.
#[derive(Debug)]
pub(super) struct Sprite {
    child: Child,
    /// Where it answers.
    pub(super) url: String,
}

impl Sprite {
    /// Starts one beside the loops of `repo`.
    pub(super) fn start(repo: &Path) -> Result<Self, CliError> {
        let mut command = own_program()?;
        command
            .args(["sprite-service", "--port", "0", "--repo"])
            .arg(repo)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        let mut sprite = Self {
            child,
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
}

impl Drop for Sprite {
    fn drop(&mut self) {
        // Nothing of it is worth more than an end that is certain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A command as its caller sees it: a process with a duration and a size.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::sample;
use crate::error::Error;

/// How often the size of a process is looked at.
const SAMPLING: Duration = Duration::from_micros(250);

/// A command to be measured.
pub(super) struct Measured {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Measured {
    /// `name` from `binaries`, about one loop of `repo`.
    pub(super) fn new(binaries: &Path, name: &str, repo: &Path, loop_id: &str) -> Self {
        Self::of_fleet(binaries, name, repo)
            .with("--loop")
            .with(loop_id)
    }

    /// `name` from `binaries`, about the fleet of `repo`.
    pub(super) fn of_fleet(binaries: &Path, name: &str, repo: &Path) -> Self {
        let repo = repo.display().to_string();
        Self {
            binary: binaries.join(name),
            arguments: vec!["--repo".to_owned(), repo],
            environment: Vec::new(),
        }
    }

    /// With one more argument.
    pub(super) fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a variable set.
    pub(super) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// From before the process is started until it has ended.
    pub(super) fn time(&self) -> Result<Duration, Error> {
        sample::timed(|| {
            let status = self.command().status();
            self.succeeded(status.map_err(|source| self.start_error(source))?)
        })
    }

    /// The greatest resident size in bytes, from the kernel's high-water
    /// mark: exact up to what is allocated in the last quarter millisecond.
    pub(super) fn peak_memory(&self) -> Result<u64, Error> {
        let mut child = self
            .command()
            .spawn()
            .map_err(|source| self.start_error(source))?;
        let status_file = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0;
        loop {
            let text = fs::read_to_string(&status_file).unwrap_or_default();
            peak = peak.max(size(&text, "VmHWM:").unwrap_or(0));
            let ended = child
                .try_wait()
                .map_err(Error::file("watch", &self.binary))?;
            if let Some(status) = ended {
                self.succeeded(status)?;
                return Ok(peak);
            }
            thread::sleep(SAMPLING);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn start_error(&self, source: std::io::Error) -> Error {
        Error::Start {
            command: self.binary.display().to_string(),
            source,
        }
    }

    fn succeeded(&self, status: ExitStatus) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        Err(Error::Command {
            command: self.binary.display().to_string(),
            status,
            output: String::new(),
        })
    }
}

/// How much memory a process holds, in bytes; 0 if it has ended.
pub(super) fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    size(&text, "VmRSS:").unwrap_or(0)
}

/// A size in a `/proc/<pid>/status` text, in bytes.
fn size(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1 kB\n";
        assert_eq!(size(status, "VmHWM:"), Some(2 * 1024 * 1024));
        assert_eq!(size(status, "VmRSS:"), Some(1024));
        assert_eq!(size("Name:\tx\nState:\tZ (zombie)\n", "VmHWM:"), None);
    }
}

//! Where the workspace is, and how other programs are run in it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::Error;

/// The checkout that this task belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The parent of this crate's directory.
    pub(crate) fn find() -> Self {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().unwrap_or(&manifest_dir).to_owned();
        Self { root }
    }

    /// `relative` below the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A cargo command in the root, with empty standard input.
    ///
    /// The variables that cargo sets about *this* crate are removed: build
    /// scripts that watch them would run again in every task.
    pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::null());
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
            if about_us.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command
    }

    /// What `cargo metadata --no-deps` says about the workspace.
    pub(crate) fn metadata(&self) -> Result<Value, Error> {
        let mut command = self.cargo(["metadata", "--no-deps", "--format-version", "1"]);
        let stdout = captured(&mut command)?;
        serde_json::from_slice(&stdout).map_err(|error| Error::Json {
            path: "the output of `cargo metadata`".into(),
            message: error.to_string(),
        })
    }
}

/// The directory where `metadata` says that cargo builds.
pub(crate) fn target_directory(metadata: &Value) -> PathBuf {
    Path::new(metadata["target_directory"].as_str().unwrap_or("target")).to_owned()
}

/// Runs `command` and returns its standard output; on failure everything it
/// said is in the error.
pub(crate) fn captured(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output = command
        .output()
        .map_err(|source| start_error(command, source))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Command {
        command: command_line(command),
        status: output.status,
        output: format!("\n{}", String::from_utf8_lossy(&said).trim_end()),
    })
}

/// Runs `command` with everything it says on our standard output.
pub(crate) fn shown(command: &mut Command) -> Result<(), Error> {
    command.stderr(Stdio::from(io::stdout()));
    let status = command
        .status()
        .map_err(|source| start_error(command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: command_line(command),
        status,
        output: String::new(),
    })
}

fn start_error(command: &Command, source: io::Error) -> Error {
    Error::Start {
        command: command_line(command),
        source,
    }
}

/// The program's name and its arguments, for messages.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

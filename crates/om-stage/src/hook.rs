//! Finding the executable behind a hook's value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::process::{self, RunOptions, StageOutput};

/// An executable that replaces a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    variable: String,
    program: OsString,
    leading: Vec<OsString>,
}

impl Hook {
    /// Resolves the value of `variable`.
    ///
    /// The whole value is the program if it names an existing file, or a file
    /// on `search_path` (the value of `PATH`) when it has no slash. Otherwise
    /// the value is split at blanks and the first word is the program. A
    /// program that does not exist is found out by [`Hook::run`] (exit code
    /// 127), because a missing stage is a failure of the stage.
    pub fn resolve(variable: &str, value: &str, search_path: Option<&OsStr>) -> Self {
        let whole = Path::new(value);
        let exists = whole.is_file() || find_on_path(value, search_path).is_some();
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        let (program, leading) = match words.split_first() {
            Some((first, rest)) if !exists => ((*first).into(), rest),
            _ => (value.into(), &[][..]),
        };
        Self {
            variable: variable.to_owned(),
            program: absolute_if_file(program),
            leading: leading.iter().map(OsString::from).collect(),
        }
    }

    /// Exactly `program`, which is neither split nor, if it has a slash,
    /// searched for; a bare name is only searched on `PATH`. For programs that
    /// are named by other means than a hook's value, e.g. `SUPERLOOP_BIN`.
    pub fn exact(variable: &str, program: impl Into<OsString>) -> Self {
        let program = program.into();
        let has_slash = program.as_bytes().contains(&b'/');
        Self {
            variable: variable.to_owned(),
            program: if has_slash {
                absolute_if_file(program)
            } else {
                program
            },
            leading: Vec::new(),
        }
    }

    /// The hook in the environment, `None` if the variable is unset or blank.
    pub fn from_env(variable: &str) -> Option<Self> {
        let value = std::env::var(variable)
            .ok()
            .filter(|value| !value.trim().is_empty())?;
        Some(Self::resolve(
            variable,
            &value,
            std::env::var_os("PATH").as_deref(),
        ))
    }

    /// The environment variable that names this hook.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// Runs the hook with `arguments` and waits for it.
    ///
    /// A program that cannot be started gives exit code 127 (missing) or 126
    /// (not executable) with the reason on stderr; a signal gives 128 + its
    /// number; a time limit gives 124.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S], options: &RunOptions) -> StageOutput {
        self.run_to_its_end(arguments, options).0
    }

    /// [`Hook::run`], and the signal that ended the program by itself, if one
    /// did: an exit code of 128 + n may also be the program's own.
    pub fn run_to_its_end<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        options: &RunOptions,
    ) -> (StageOutput, Option<i32>) {
        tracing::debug!(hook = self.variable, program = ?self.program, "running hook");
        let leading = self.leading.iter().map(OsString::as_os_str);
        let all: Vec<&OsStr> = leading.chain(arguments.iter().map(AsRef::as_ref)).collect();
        process::run(&self.program, &all, options)
    }
}

/// A file given with a directory keeps meaning the same file whatever the
/// working directory of the child; a bare name that is a file here is run
/// from here, as the value says an existing file.
fn absolute_if_file(program: OsString) -> OsString {
    let path = Path::new(&program);
    if !path.is_file() {
        return program;
    }
    std::path::absolute(path).map_or(program, PathBuf::into_os_string)
}

fn find_on_path(name: &str, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    std::env::split_paths(search_path?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(dir: &Path, name: &str, body: &str) -> String {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("script is written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("script is executable");
        path.to_str().expect("UTF-8 path").to_owned()
    }

    #[test]
    fn a_value_that_names_a_file_is_not_split() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = script(dir.path(), "my hook", "printf '%s|' \"$@\"");
        let output = Hook::resolve("V", &path, None).run(&["a b", ""], &RunOptions::default());
        assert_eq!(output.stdout, b"a b||");
    }

    #[test]
    fn any_other_value_is_split_at_blanks_and_never_seen_by_a_shell() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = script(dir.path(), "hook", "printf '%s|' \"$@\"");
        let hook = Hook::resolve("V", &format!("{path}  --fixed $(id) "), None);
        let output = hook.run(&["x"], &RunOptions::default());
        assert_eq!(output.stdout, b"--fixed|$(id)|x|");
    }

    #[test]
    fn a_bare_name_is_searched_on_the_path() {
        let dir = tempfile::tempdir().expect("scratch folder");
        script(dir.path(), "with blank", "echo found");
        let search = Some(dir.path().as_os_str());
        let hook = Hook::resolve("V", "with blank", search);
        assert_eq!(hook.program, "with blank");
    }

    #[test]
    fn an_exact_program_is_one_program() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = script(dir.path(), "my runtime", "printf '%s|' \"$@\"");
        let output = Hook::exact("V", &path).run(&["a b"], &RunOptions::default());
        assert_eq!(output.stdout, b"a b|");
        let split = Hook::exact("V", "echo x").run::<&str>(&[], &RunOptions::default());
        assert_eq!(split.exit_code, 127);
    }

    #[test]
    fn what_cannot_be_started_fails_as_a_shell_would_report_it() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "no program").expect("file is written");
        let missing = Hook::resolve("V", "/nowhere/at/all", None);
        let output = missing.run::<&str>(&[], &RunOptions::default());
        assert_eq!(output.exit_code, 127);
        assert!(output.stderr_text().contains("No such file or directory"));
        let plain = Hook::resolve("V", plain.to_str().expect("UTF-8 path"), None);
        assert_eq!(
            plain.run::<&str>(&[], &RunOptions::default()).exit_code,
            126
        );
    }
}

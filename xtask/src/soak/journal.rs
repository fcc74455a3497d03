//! Reading what the manager writes, from outside.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use om_model::json;
use serde_json::Value;

/// A journal that grows.
pub(super) struct Journal {
    path: PathBuf,
    /// Bytes of complete lines that were read.
    read: u64,
    /// All rows so far.
    pub(super) rows: Vec<Value>,
}

impl Journal {
    /// Nothing is read yet; the file need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            rows: Vec::new(),
        }
    }

    /// Reads the complete lines that are new. What is wrong with one is the
    /// error.
    pub(super) fn refresh(&mut self) -> Result<(), String> {
        let bytes = tail(&self.path, self.read).map_err(|error| self.wrong(&error.to_string()))?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let complete = &bytes[..end.map_or(0, |end| end + 1)];
        for line in complete.split_inclusive(|byte| *byte == b'\n') {
            let row = json::parse(line).map_err(|error| {
                let line = String::from_utf8_lossy(line).into_owned();
                self.wrong(&format!("{error}: {line:?}"))
            })?;
            self.rows.push(row);
            self.read += line.len() as u64;
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> String {
        let place = self.rows.len() + 1;
        format!("{}:{place}: {what}", self.path.display())
    }
}

/// Every row of a journal that is not written to any more.
pub(super) fn all_rows(path: &Path) -> Result<Vec<Value>, String> {
    let mut journal = Journal::new(path.to_owned());
    journal.refresh()?;
    let length = fs::metadata(path).map_or(0, |found| found.len());
    if journal.read == length {
        Ok(journal.rows)
    } else {
        Err(format!("{}: the last line is torn", path.display()))
    }
}

/// How many complete lines a journal has.
pub(super) fn complete_lines(path: &Path) -> usize {
    let bytes = tail(path, 0).unwrap_or_default();
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .count()
}

/// The document at `path`; `null` without one.
pub(super) fn document(path: &Path) -> Result<Value, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    json::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn tail(path: &Path, from: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

/// The text of a member; empty without one.
pub(super) fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document[member].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_lines_are_read_once_and_torn_ones_not_yet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        let mut journal = Journal::new(path.clone());
        journal.refresh().unwrap();
        fs::write(&path, "1\n2").unwrap();
        journal.refresh().unwrap();
        assert_eq!(journal.rows, [1]);
        assert!(all_rows(&path).is_err());
        fs::write(&path, "1\n2\n").unwrap();
        journal.refresh().unwrap();
        assert_eq!(journal.rows, [1, 2]);
        fs::write(&path, "1\n2\n{\n").unwrap();
        assert!(journal.refresh().unwrap_err().contains("a.jsonl:3: "));
    }
}

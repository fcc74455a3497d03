//! How documents and rows of a pass become bytes of a commit.

use std::path::Path;

use om_model::json;
use om_store::{Commit, DocumentOptions};
use serde::Serialize;

/// Permission bits of `cursor.json` (chapter 01 §5.5).
const CURSOR_MODE: u32 = 0o600;

/// The writes of a pass, by the form that the contract gives each file.
pub(super) trait PassWrites: Sized {
    /// One compact line.
    fn put(self, path: &Path, document: &impl Serialize) -> Self;
    /// One compact line, visible only after everything else: `state.json`.
    fn put_state(self, path: &Path, document: &impl Serialize) -> Self;
    /// Indented, readable by its owner only: `cursor.json`.
    fn put_cursor(self, path: &Path, document: &impl Serialize) -> Self;
    /// One compact line at the end of a journal.
    fn append(self, path: &Path, row: &impl Serialize) -> Self;
}

impl PassWrites for Commit {
    fn put(self, path: &Path, document: &impl Serialize) -> Self {
        self.document(path, line(json::compact(document)))
    }

    fn put_state(self, path: &Path, document: &impl Serialize) -> Self {
        let options = DocumentOptions {
            last: true,
            ..DocumentOptions::default()
        };
        self.document_with(path, line(json::compact(document)), options)
    }

    fn put_cursor(self, path: &Path, document: &impl Serialize) -> Self {
        let options = DocumentOptions {
            mode: Some(CURSOR_MODE),
            ..DocumentOptions::default()
        };
        self.document_with(path, line(json::pretty(document)), options)
    }

    fn append(self, path: &Path, row: &impl Serialize) -> Self {
        self.row(path, json::compact(row))
    }
}

fn line(mut text: String) -> String {
    text.push('\n');
    text
}

//! Command lines as one text that a shell reads back as the same words
//! (chapter 03 §3.1.4 A).

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

/// Characters that need a backslash wherever they stand.
const SPECIAL: &str = " !\"$&'()*,;<>?[\\]^`{|}";

/// Control characters with an escape of their own; others are octal.
const ESCAPES: [(char, char); 8] = [
    ('\u{7}', 'a'),
    ('\u{8}', 'b'),
    ('\t', 't'),
    ('\n', 'n'),
    ('\u{b}', 'v'),
    ('\u{c}', 'f'),
    ('\r', 'r'),
    ('\u{1b}', 'E'),
];

/// All `words`, each quoted, joined by one space.
pub fn command_line<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

/// One word, quoted only as far as it needs to be.
pub fn quote(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    if bytes.is_empty() {
        return "''".to_owned();
    }
    match word.to_str() {
        Some(text) if !text.contains(is_control) => backslashed(text),
        _ => dollar_quoted(bytes),
    }
}

fn is_control(c: char) -> bool {
    matches!(c, '\u{1}'..='\u{1f}' | '\u{7f}')
}

fn backslashed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        let special = match c {
            '#' => before.is_none(),
            '~' => matches!(before, None | Some(':' | '=')),
            _ => SPECIAL.contains(c),
        };
        if special {
            out.push('\\');
        }
        out.push(c);
        before = Some(c);
    }
    out
}

fn dollar_quoted(bytes: &[u8]) -> String {
    let mut out = "$'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match ESCAPES.iter().find(|(escaped, _)| *escaped == c) {
                Some((_, letter)) => out.extend(['\\', *letter]),
                None if matches!(c, '\\' | '\'') => out.extend(['\\', c]),
                None if is_control(c) => octal(&mut out, c as u32),
                None => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            octal(&mut out, u32::from(*byte));
        }
    }
    out.push('\'');
    out
}

fn octal(out: &mut String, value: u32) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\{value:03o}");
}

//! Command lines that a shell reads back (chapter 03 §3.1.4).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

use om_control::quote::{command_line, quote};
use proptest::prelude::*;

#[test]
fn each_character_is_quoted_as_the_table_says() {
    for (word, quoted) in [
        ("", "''"),
        ("plain-Word_1.2/3@4%5+6", "plain-Word_1.2/3@4%5+6"),
        ("not yet", "not\\ yet"),
        (
            "!\"$&'()*,;<>?[\\]^`{|}",
            "\\!\\\"\\$\\&\\'\\(\\)\\*\\,\\;\\<\\>\\?\\[\\\\\\]\\^\\`\\{\\|\\}",
        ),
        ("#a#b", "\\#a#b"),
        ("~a~b:~c=~d/~", "\\~a~b:\\~c=\\~d/~"),
        ("ünïcode", "ünïcode"),
        ("a b\nc", "$'a b\\nc'"),
        (
            "\u{7}\u{8}\t\n\u{b}\u{c}\r\u{1b}",
            "$'\\a\\b\\t\\n\\v\\f\\r\\E'",
        ),
        ("\u{1}\u{1f}\u{7f}", "$'\\001\\037\\177'"),
        ("it's\t\\ ü $x", "$'it\\'s\\t\\\\ ü $x'"),
        ("\u{85}", "\u{85}"),
    ] {
        assert_eq!(quote(word.as_ref()), quoted, "{word:?}");
    }
}

#[test]
fn undecodable_bytes_are_octal() {
    assert_eq!(quote(OsStr::from_bytes(b"a\xff b\xc3")), "$'a\\377 b\\303'");
}

#[test]
fn words_are_joined_by_one_space() {
    assert_eq!(command_line(["a b", "", "c"]), "a\\ b '' c");
}

/// What bash makes of a command line.
fn read_back(line: &str) -> Vec<Vec<u8>> {
    let output = Command::new("bash")
        .args(["--norc", "-c", &format!("printf '%s\\0' {line}")])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{line}: {output:?}");
    let mut words: Vec<Vec<u8>> = output
        .stdout
        .split(|b| *b == 0)
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(words.pop(), Some(Vec::new()), "the last word ends, too");
    words
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shell_reads_back_the_same_words(
        words in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..12), 1..20),
        texts in prop::collection::vec("[ -~\t\n]{0,12}", 1..20),
    ) {
        let texts = texts.into_iter().map(String::into_bytes);
        let words: Vec<Vec<u8>> = words.into_iter().chain(texts).collect();
        let line = command_line(words.iter().cloned().map(OsString::from_vec));
        prop_assert_eq!(read_back(&line), words);
    }
}

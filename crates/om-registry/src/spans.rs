//! Where every value of a JSON text is, byte by byte.
//!
//! Only for texts that the JSON parser has accepted: the scanner trusts their
//! grammar and their bounded nesting, and never panics on anything else.

use std::ops::Range;

use crate::member::Step;

/// The UTF-8 byte order mark, which is skipped and kept.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its bytes.
    pub(crate) span: Range<usize>,
    /// What is in it.
    pub(crate) inside: Inside,
}

/// What is in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Nothing with a place of its own.
    Scalar,
    /// The items of an array.
    Items(Vec<Node>),
    /// The members of an object, duplicates included.
    Members(Vec<Member>),
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name, decoded.
    pub(crate) name: String,
    /// The bytes of its name, quotes included.
    pub(crate) name_span: Range<usize>,
    /// Its value.
    pub(crate) value: Node,
}

/// `bytes` without a byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Scans a whole text; `None` if it is not what the parser accepts.
pub(crate) fn scan(bytes: &[u8]) -> Option<Node> {
    let at = bytes.len() - without_mark(bytes).len();
    let mut scanner = Scanner { bytes, at };
    scanner.value()
}

impl Node {
    /// The member that counts: the last of its name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        match &self.inside {
            Inside::Members(members) => members.iter().rev().find(|member| member.name == name),
            Inside::Scalar | Inside::Items(_) => None,
        }
    }

    /// The value one step down.
    pub(crate) fn child(&self, step: &Step) -> Option<&Node> {
        match (step, &self.inside) {
            (Step::Member(name), _) => self.member(name).map(|member| &member.value),
            (Step::Item(index), Inside::Items(items)) => items.get(*index),
            (Step::Item(_), _) => None,
        }
    }

    /// Where the value at `steps` begins, its name included; else where the
    /// last value on the way there does, and `None` if that is this one.
    pub(crate) fn offset_of(&self, steps: &[Step]) -> Option<usize> {
        let (mut at, mut found) = (self, None);
        for step in steps {
            let Some(next) = at.child(step) else { break };
            let named = match step {
                Step::Member(name) => at.member(name).map(|member| member.name_span.start),
                Step::Item(_) => None,
            };
            found = Some(named.unwrap_or(next.span.start));
            at = next;
        }
        found
    }
}

/// Where the lines of a text end, so that many questions about lines need one
/// look at it.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    /// Of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(breaks.map(|(offset, _)| offset).collect())
    }

    /// The line of the byte at `offset`, counted from 1.
    pub(crate) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<Node> {
        self.blanks();
        let start = self.at;
        let inside = match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => {
                self.text()?;
                Inside::Scalar
            }
            _ => {
                self.word();
                Inside::Scalar
            }
        };
        (self.at > start).then_some(Node {
            span: start..self.at,
            inside,
        })
    }

    fn object(&mut self) -> Option<Inside> {
        let mut members = Vec::new();
        self.list(b'}', |scanner| {
            let name_span = scanner.text()?;
            let token = String::from_utf8_lossy(&scanner.bytes[name_span.clone()]);
            let name = serde_json::from_str(&token).ok()?;
            scanner.blanks();
            scanner.expect(b':')?;
            let value = scanner.value()?;
            members.push(Member {
                name,
                name_span,
                value,
            });
            Some(())
        })?;
        Some(Inside::Members(members))
    }

    fn array(&mut self) -> Option<Inside> {
        let mut items = Vec::new();
        self.list(b']', |scanner| {
            items.push(scanner.value()?);
            Some(())
        })?;
        Some(Inside::Items(items))
    }

    /// What stands between brackets, by commas.
    fn list(&mut self, end: u8, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blanks();
            one(self)?;
            self.blanks();
            if self.peek()? == end {
                self.at += 1;
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn text(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at)
    }

    /// A number or a literal.
    fn word(&mut self) {
        let ends = |byte: u8| byte.is_ascii_whitespace() || b",:]}".contains(&byte);
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::MemberPath;
    use proptest::prelude::*;

    fn at(text: &str, path: &MemberPath) -> Option<String> {
        let root = scan(text.as_bytes()).expect("scans");
        let node = path
            .steps()
            .iter()
            .try_fold(&root, |at, step| at.child(step))?;
        Some(text[node.span.clone()].to_owned())
    }

    #[test]
    fn a_value_is_found_where_it_stands() {
        let text = "\u{feff} {\"a\" : [1, {\"b\\u0063\":\"}\\\"\"} ,-1.5e3],\r\n\"d\":null}\n";
        let path = |path: &str| MemberPath::dotted(path);
        assert_eq!(at(text, &path("d")).as_deref(), Some("null"));
        assert_eq!(at(text, &path("a").item(0)).as_deref(), Some("1"));
        assert_eq!(at(text, &path("a").item(2)).as_deref(), Some("-1.5e3"));
        let inner = path("a").item(1).member("bc");
        assert_eq!(at(text, &inner).as_deref(), Some("\"}\\\"\""));
        assert_eq!(at(text, &path("x")), None);
    }

    #[test]
    fn of_members_with_one_name_the_last_one_counts() {
        let text = r#"{"a":{"b":1},"a":{"c":2}}"#;
        assert_eq!(at(text, &MemberPath::dotted("a.c")).as_deref(), Some("2"));
        assert_eq!(at(text, &MemberPath::dotted("a.b")), None);
    }

    #[test]
    fn a_missing_value_is_near_what_should_contain_it() {
        let text = "{\n\"a\":\n{\n\"b\": 1}}";
        let root = scan(text.as_bytes()).expect("scans");
        let line = |path: &str| {
            let offset = root.offset_of(MemberPath::dotted(path).steps());
            offset.map(|offset| Lines::of(text.as_bytes()).at(offset))
        };
        assert_eq!(line("a.b"), Some(4));
        assert_eq!(line("a.x.y"), Some(2));
        assert_eq!(line("x"), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_the_scanner_panic(bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'),
                Just(b','), Just(b':'), Just(b'1'), Just(b' '), any::<u8>()], 0..40)
        ) {
            let _ = scan(&bytes);
        }
    }
}

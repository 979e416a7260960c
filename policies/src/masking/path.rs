//! JSONPath (RFC 9535) as far as a stream can follow it, and the automaton that follows it.
//!
//! Names, wildcards, indices, slices and descendants. Refused, each with its reason: filters and
//! counting from an array's end, because the values they look at may come after the value that they
//! decide about.

/// Most segments of all paths together: one bit each in a [`Places`].
pub(super) const MOST_SEGMENTS: usize = 128;
/// Longest member name that a rule can name, in bytes.
pub(super) const LONGEST_NAME: usize = 256;

/// A parsed path: its segments after `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// Whether it holds at any depth below.
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Name(String),
    Wildcard,
    Index(usize),
    Slice { start: usize, end: Option<usize>, step: usize },
}

/// One step down into a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// To the member of this name.
    Name(&'a [u8]),
    /// To the element at this index.
    Index(usize),
}

impl Selector {
    fn selects(&self, step: Step<'_>) -> bool {
        match (self, step) {
            (Self::Wildcard, _) => true,
            (Self::Name(name), Step::Name(given)) => name.as_bytes() == given,
            (Self::Index(index), Step::Index(given)) => *index == given,
            (Self::Slice { start, end, step }, Step::Index(given)) => {
                given >= *start
                    && end.is_none_or(|end| given < end)
                    && given.checked_sub(*start).and_then(|past| past.checked_rem(*step)) == Some(0)
            }
            (Self::Name(_), Step::Index(_)) | (Self::Index(_) | Self::Slice { .. }, Step::Name(_)) => false,
        }
    }
}

impl Path {
    /// Reads a path; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        if !reader.eat("$") {
            return Err("a path begins with `$`".to_owned());
        }
        let mut segments = Vec::new();
        while !reader.rest.is_empty() {
            segments.push(reader.segment()?);
        }
        Ok(Self(segments))
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn segment(&mut self) -> Result<Segment, String> {
        self.skip_blanks();
        if self.eat("..") {
            let selectors = if self.eat("[") { self.bracketed()? } else { vec![self.shorthand()?] };
            Ok(Segment { descends: true, selectors })
        } else if self.eat(".") {
            Ok(Segment { descends: false, selectors: vec![self.shorthand()?] })
        } else if self.eat("[") {
            Ok(Segment { descends: false, selectors: self.bracketed()? })
        } else {
            Err(format!("`.`, `..` or `[` has to come before `{}`", self.rest))
        }
    }

    /// `*` or a name without quotes.
    fn shorthand(&mut self) -> Result<Selector, String> {
        if self.eat("*") {
            return Ok(Selector::Wildcard);
        }
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii();
        let end = self.rest.find(|character| !allowed(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|character: char| character.is_ascii_digit()) {
            return Err(format!("a name has to come before `{}`; write others as ['name']", self.rest));
        }
        self.rest = rest;
        named(name.to_owned())
    }

    fn bracketed(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        loop {
            self.skip_blanks();
            selectors.push(self.selector()?);
            self.skip_blanks();
            if self.eat("]") {
                return Ok(selectors);
            }
            if !self.eat(",") {
                return Err(format!("`,` or `]` has to come before `{}`", self.rest));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        if self.eat("*") {
            return Ok(Selector::Wildcard);
        }
        if self.eat("?") {
            return Err(
                "filters are not supported: a stream has passed the value before a filter can decide"
                    .to_owned(),
            );
        }
        for quote in ['\'', '"'] {
            if self.rest.starts_with(quote) {
                return self.quoted(quote);
            }
        }
        let start = self.number()?;
        self.skip_blanks();
        if !self.eat(":") {
            return start.map(Selector::Index).ok_or_else(|| {
                format!("a name in quotes, an index, a slice or `*` has to come before `{}`", self.rest)
            });
        }
        self.skip_blanks();
        let end = self.number()?;
        self.skip_blanks();
        let step = if self.eat(":") {
            self.skip_blanks();
            self.number()?.unwrap_or(1)
        } else {
            1
        };
        if step == 0 {
            return Err("a slice with a step of 0 selects nothing".to_owned());
        }
        Ok(Selector::Slice { start: start.unwrap_or(0), end, step })
    }

    fn number(&mut self) -> Result<Option<usize>, String> {
        if self.rest.starts_with('-') {
            return Err(
                "counting from the end is not supported: a stream does not know an array's length".to_owned()
            );
        }
        let end = self.rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Ok(None);
        }
        self.rest = rest;
        digits.parse().map(Some).map_err(|_| format!("`{digits}` is too large for an index"))
    }

    fn quoted(&mut self, quote: char) -> Result<Selector, String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = self.rest.get(at + character.len_utf8()..).unwrap_or_default();
                return named(name);
            }
            if character != '\\' {
                name.push(character);
                continue;
            }
            name.push(match characters.next().map(|(_, escaped)| escaped) {
                Some(escaped @ ('"' | '\'' | '\\' | '/')) => escaped,
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    u32::from_str_radix(&digits, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(|| format!("`\\u{digits}` is no character; write it as itself"))?
                }
                _ => return Err("an unknown escape in a quoted name".to_owned()),
            });
        }
        Err("a quoted name has no end".to_owned())
    }
}

fn named(name: String) -> Result<Selector, String> {
    if name.len() > LONGEST_NAME {
        return Err(format!("a name of {} bytes is longer than {LONGEST_NAME}", name.len()));
    }
    Ok(Selector::Name(name))
}

/// Where all paths stand at one place of a document: bit `n` is set where segment `n` comes next.
pub(super) type Places = u128;

/// All paths as one automaton.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    segments: Vec<(Segment, Ends)>,
    root: Places,
    whole: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Another segment of the same path follows.
    Continues,
    /// The rule of this number holds for what the segment selects.
    Rule(usize),
}

impl Paths {
    /// Adds a path for the rule of this number; `false` where there is no room.
    pub(super) fn add(&mut self, path: Path, rule: usize) -> bool {
        if self.segments.len() + path.0.len() > MOST_SEGMENTS {
            return false;
        }
        if path.0.is_empty() {
            self.whole = Some(rule);
            return true;
        }
        self.root |= 1 << self.segments.len();
        let last = path.0.len() - 1;
        for (index, segment) in path.0.into_iter().enumerate() {
            let ends = if index == last { Ends::Rule(rule) } else { Ends::Continues };
            self.segments.push((segment, ends));
        }
        true
    }

    /// Where the paths stand at the document, and the rule that holds for it as a whole.
    pub(super) fn root(&self) -> (Places, Option<usize>) {
        (self.root, self.whole)
    }

    /// One step down from a value: where the paths stand then, and the rule that holds there.
    pub(super) fn step(&self, from: Places, step: Step<'_>) -> (Places, Option<usize>) {
        let mut left = from;
        let mut to = 0;
        let mut rule = None;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some((segment, ends)) = self.segments.get(index) else { continue };
            if segment.descends {
                to |= 1 << index;
            }
            if segment.selectors.iter().any(|selector| selector.selects(step)) {
                match ends {
                    Ends::Continues => to |= 1 << (index + 1),
                    Ends::Rule(number) => rule = rule.or(Some(*number)),
                }
            }
        }
        (to, rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `path` selects the value that these steps lead to.
    fn selects(path: &str, steps: &[Step<'_>]) -> bool {
        let mut paths = Paths::default();
        assert!(paths.add(Path::parse(path).expect(path), 0));
        let (mut places, mut rule) = paths.root();
        for &step in steps {
            (places, rule) = paths.step(places, step);
        }
        rule.is_some()
    }

    const A: Step<'static> = Step::Name(b"a");
    const B: Step<'static> = Step::Name(b"b");

    #[test]
    fn selects_as_rfc_9535_says() {
        for (path, steps, expected) in [
            ("$", &[][..], true),
            ("$", &[A], false),
            ("$.a", &[A], true),
            ("$.a", &[A, A], false),
            ("$['a']", &[A], true),
            ("$[\"\\u0061\"]", &[A], true),
            ("$.*", &[B], true),
            ("$.*", &[Step::Index(3)], true),
            ("$.a.b", &[A, B], true),
            ("$.a.b", &[B, A], false),
            ("$..b", &[A, B], true),
            ("$..b", &[B], true),
            ("$..b", &[A, Step::Index(0), B], true),
            ("$..a..b", &[A, A, Step::Index(0), B], true),
            ("$..a..b", &[B, A], false),
            ("$..*", &[A, B], true),
            ("$..[0]", &[A, Step::Index(0)], true),
            ("$[1]", &[Step::Index(1)], true),
            ("$[1]", &[Step::Index(2)], false),
            ("$[1:]", &[Step::Index(9)], true),
            ("$[:2]", &[Step::Index(2)], false),
            ("$[1:8:3]", &[Step::Index(4)], true),
            ("$[1:8:3]", &[Step::Index(5)], false),
            ("$[0, 'a']", &[A], true),
            ("$[0, 'a']", &[Step::Index(0)], true),
            ("$['it\\'s']", &[Step::Name(b"it's")], true),
        ] {
            assert_eq!(selects(path, steps), expected, "{path} {steps:?}");
        }
    }

    #[test]
    fn refuses_what_a_stream_cannot_follow_and_says_why() {
        for (path, because) in [
            ("$[?@.a]", "filters"),
            ("$[-1]", "from the end"),
            ("$[:-1]", "from the end"),
            ("$[::0]", "step of 0"),
            ("a.b", "begins with `$`"),
            ("$.", "a name"),
            ("$.1a", "a name"),
            ("$a", "`.`, `..` or `[`"),
            ("$['a", "no end"),
            ("$[a]", "in quotes"),
            ("$[1", "`,` or `]`"),
            ("$[99999999999999999999]", "too large"),
        ] {
            let error = Path::parse(path).expect_err(path);
            assert!(error.contains(because), "{path}: {error}");
        }
    }

    #[test]
    fn the_automaton_has_room_for_128_segments() {
        let mut paths = Paths::default();
        for rule in 0..MOST_SEGMENTS {
            assert!(paths.add(Path::parse("$.a").expect("a path"), rule));
        }
        assert!(!paths.add(Path::parse("$.a").expect("a path"), MOST_SEGMENTS));
    }
}

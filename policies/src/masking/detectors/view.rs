//! What a detector sees: folded text from where it is not yet decided, a little of what came before, and
//! whether more may follow. Recognisers read it byte by byte and stop with [`Stop::More`] where it ends early.

/// Why a recogniser did not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It cannot match here, whatever follows.
    No,
    /// The text ended before it was decided, and more may follow.
    More,
}

/// The end of a match, exclusive, or why there is none.
pub(crate) type Found = Result<usize, Stop>;

/// The text under examination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// The last decided bytes before `text`, for context words and boundaries only.
    pub(crate) before: &'a [u8],
    /// Bytes not decided yet, and those of this call that are.
    pub(crate) text: &'a [u8],
    /// Where undecided text begins: no match may begin before.
    pub(crate) floor: usize,
    /// Where the last match ended, relative to `text`: no word or number goes on from before. It may be far before.
    pub(crate) wall: isize,
    /// Whether the text begins at `floor`, and what names it stands before.
    pub(crate) labelled: bool,
    /// Whether the text ends here for good.
    pub(crate) ended: bool,
}

impl<'a> View<'a> {
    /// The byte at `index`: `None` behind the end of the text, [`Stop::More`] behind what is known of it.
    pub(crate) fn byte(&self, index: usize) -> Result<Option<u8>, Stop> {
        match self.text.get(index) {
            Some(byte) => Ok(Some(*byte)),
            None if self.ended => Ok(None),
            None => Err(Stop::More),
        }
    }

    /// Whether a match ends where undecided text begins.
    pub(crate) fn is_fresh(&self) -> bool {
        isize::try_from(self.floor).is_ok_and(|floor| floor == self.wall)
    }

    /// The byte at `index` if it is known.
    pub(crate) fn known(&self, index: usize) -> Option<u8> {
        self.text.get(index).copied()
    }

    /// The byte before `index`, `None` at the beginning of the text and behind a match.
    pub(crate) fn previous(&self, index: usize) -> Option<u8> {
        self.back(index, 1)
    }

    /// The byte `count` before `index`, under the same terms.
    pub(crate) fn back(&self, index: usize, count: usize) -> Option<u8> {
        if isize::try_from(index).is_ok_and(|index| index.saturating_sub_unsigned(count) < self.wall) {
            return None;
        }
        self.written(index, count)
    }

    /// The byte `count` before `index`, whether or not a match ends between.
    pub(crate) fn written(&self, index: usize, count: usize) -> Option<u8> {
        match index.checked_sub(count) {
            Some(before) => self.text.get(before).copied(),
            None => self.before.len().checked_sub(count - index).and_then(|at| self.before.get(at)).copied(),
        }
    }

    /// Whether the colon, hyphen or dot before `start` follows a group of at most four hexadecimal digits, or another
    /// one of its kind: then what begins at `start` goes on from there.
    pub(crate) fn follows_group(&self, start: usize) -> bool {
        let separator = self.previous(start);
        if !matches!(separator, Some(b':' | b'-' | b'.')) {
            return false;
        }
        for count in 2..=6 {
            match self.back(start, count) {
                Some(byte) if byte.is_ascii_hexdigit() => {}
                Some(byte) if is_word(byte) => return false,
                _ if count == 2 => return self.back(start, 2) == separator,
                _ => return true,
            }
        }
        false
    }

    /// The bytes from `start` to `end`, as far as they are known.
    pub(crate) fn span(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end.min(self.text.len())).unwrap_or_default()
    }

    /// Whether the text goes on with `expected` at `index`, byte for byte.
    pub(crate) fn literal(&self, index: usize, expected: &[u8]) -> Found {
        for (offset, byte) in expected.iter().enumerate() {
            if self.byte(index + offset)? != Some(*byte) {
                return Err(Stop::No);
            }
        }
        Ok(index + expected.len())
    }

    /// The end of the bytes from `index` that are in `class`, at most `limit` of them.
    pub(crate) fn run(&self, index: usize, limit: usize, class: fn(u8) -> bool) -> Found {
        let mut at = index;
        while at < index + limit {
            match self.byte(at)? {
                Some(byte) if class(byte) => at += 1,
                _ => break,
            }
        }
        Ok(at)
    }

    /// The beginning of the bytes before `index` that are in `class`, at most `limit`, none before the floor.
    pub(crate) fn run_back(&self, index: usize, limit: usize, class: fn(u8) -> bool) -> usize {
        let lowest = self.floor.max(index.saturating_sub(limit));
        let mut at = index;
        while at > lowest && self.known(at - 1).is_some_and(class) {
            at -= 1;
        }
        at
    }

    /// Whether a word ends at `end`: no letter, digit or `_` follows.
    pub(crate) fn word_ends(&self, end: usize) -> Found {
        match self.byte(end)? {
            Some(byte) if is_word(byte) => Err(Stop::No),
            _ => Ok(end),
        }
    }

    /// Whether a word may begin at `start`: no letter, digit or `_` before.
    pub(crate) fn word_begins(&self, start: usize) -> bool {
        !self.previous(start).is_some_and(is_word)
    }
}

/// Letters, digits and `_`, ASCII only: scripts without spaces put numbers right after letters.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Joins what several ways to match at one place found: the longest, unless one of them is not decided.
pub(crate) fn longest(one: Found, other: Found) -> Found {
    match (one, other) {
        (Err(Stop::More), _) | (_, Err(Stop::More)) => Err(Stop::More),
        (Ok(one), Ok(other)) => Ok(one.max(other)),
        (Ok(end), Err(Stop::No)) | (Err(Stop::No), Ok(end)) => Ok(end),
        (Err(Stop::No), Err(Stop::No)) => Err(Stop::No),
    }
}

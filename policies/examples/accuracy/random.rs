//! A small generator of pseudo-random numbers, the same on every machine: xorshift64* (Vigna, 2016).

/// Its state.
pub(crate) struct Random(u64);

impl Random {
    /// From a seed; zero is as good as any.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn number(&mut self, low: u64, high: u64) -> u64 {
        low + (self.next() >> 11) % (high - low + 1)
    }

    /// Whether, once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.number(1, times) == 1
    }

    /// One of them.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.number(0, from.len() as u64 - 1) as usize]
    }

    /// So many digits.
    pub(crate) fn digits(&mut self, count: usize) -> String {
        self.letters(count, b"0123456789")
    }

    /// So many bytes of an alphabet.
    pub(crate) fn letters(&mut self, count: usize, alphabet: &[u8]) -> String {
        (0..count).map(|_| char::from(alphabet[self.number(0, alphabet.len() as u64 - 1) as usize])).collect()
    }

    /// A text with `#` for a digit, `^` for 2 to 9, `§` for 1 to 9, `~` for a hexadecimal digit.
    pub(crate) fn shape(&mut self, shape: &str) -> String {
        shape
            .chars()
            .map(|c| match c {
                '#' => self.letters(1, b"0123456789"),
                '^' => self.letters(1, b"23456789"),
                '§' => self.letters(1, b"123456789"),
                '~' => self.letters(1, b"0123456789abcdef"),
                other => other.to_string(),
            })
            .collect()
    }
}

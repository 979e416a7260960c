//! A value without a bound, while the text is in it: covered to its end in constant memory.

use regex_automata::util::primitives::StateID;

use super::secrets::Block;

/// What covers the text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Region {
    /// A private key block, up to its end marker.
    Block(Block),
    /// As long as bytes are in the class.
    While(fn(u8) -> bool),
    /// As long as the automaton of the custom pattern `.0` is alive.
    Pattern(usize, StateID),
}

impl Region {
    /// How many bytes of `text` belong to the value, and whether it ends with them. `pattern` steps the automaton of
    /// a custom pattern.
    pub(super) fn go_on(
        &mut self,
        text: &[u8],
        pattern: impl Fn(usize, StateID, u8) -> Option<StateID>,
    ) -> (usize, bool) {
        match self {
            Self::Block(block) => match text.iter().position(|byte| block.step(*byte)) {
                Some(last) => (last + 1, true),
                None => (text.len(), false),
            },
            Self::While(class) => match text.iter().position(|byte| !class(*byte)) {
                Some(end) => (end, true),
                None => (text.len(), false),
            },
            Self::Pattern(index, state) => {
                for (at, byte) in text.iter().enumerate() {
                    match pattern(*index, *state, *byte) {
                        Some(next) => *state = next,
                        None => return (at, true),
                    }
                }
                (text.len(), false)
            }
        }
    }
}

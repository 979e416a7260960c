//! What takes the place of a masked value. The same five actions for detectors, fields and exemptions.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::config::ActionConfig;
use crate::policy::{At, Environment, Problems};

/// What happens to a masked value.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Another text takes its place.
    Replace(Arc<str>),
    /// It is removed.
    Redact,
    /// Its last letters and digits stay, as many as named; the others become `*`.
    Mask {
        /// How many letters and digits stay.
        keep: usize,
    },
    /// A label and a keyed hash take its place, so that equal values stay equal.
    Hash {
        /// What the value is, such as `EMAIL`.
        label: Arc<str>,
        /// The key of HMAC-SHA-256 (RFC 2104).
        key: Arc<[u8]>,
    },
    /// Digits become `0`, letters `x`; length and punctuation stay.
    FixedShape,
}

/// Never shows a key.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace(with) => f.debug_tuple("Replace").field(with).finish(),
            Self::Redact => f.write_str("Redact"),
            Self::Mask { keep } => f.debug_struct("Mask").field("keep", keep).finish(),
            Self::Hash { label, .. } => f.debug_struct("Hash").field("label", label).finish_non_exhaustive(),
            Self::FixedShape => f.write_str("FixedShape"),
        }
    }
}

impl Action {
    /// The action that a rule names, or the replacement `[LABEL]` where it names none.
    ///
    /// `with` and `action` are the rule's two ways to say it; both at once is a problem, and so is
    /// a hash whose key is not in the environment.
    pub fn compile(
        with: Option<&str>,
        action: Option<&ActionConfig>,
        label: &str,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        match (with, action) {
            (Some(_), Some(_)) => {
                problems.add_with_hint(
                    at,
                    "`with` and `action` exclude each other",
                    "`with: X` is short for `action: { replace: { with: X } }`",
                );
                None
            }
            (Some(with), None) => Some(Self::Replace(Arc::from(with))),
            (None, Some(ActionConfig::Replace { with })) => Some(Self::Replace(Arc::from(with.as_str()))),
            (None, None) => Some(Self::Replace(Arc::from(format!("[{label}]")))),
            (None, Some(ActionConfig::Redact)) => Some(Self::Redact),
            (None, Some(ActionConfig::Mask { keep })) => Some(Self::Mask { keep: *keep }),
            (None, Some(ActionConfig::FixedShape)) => Some(Self::FixedShape),
            (None, Some(ActionConfig::Hash { key })) => match key.resolve(environment) {
                Some(secret) => {
                    Some(Self::Hash { label: Arc::from(label), key: Arc::from(secret.into_bytes()) })
                }
                None => {
                    problems.add_with_hint(
                        &at.member("action").member("hash").member("key"),
                        format!("the environment has no `{}`", key.env),
                        "pass it in with vm_config.environment_variables",
                    );
                    None
                }
            },
        }
    }

    /// Appends what takes the place of `text`: bytes of UTF-8 wherever `text` is.
    pub fn render(&self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Replace(with) => out.extend_from_slice(with.as_bytes()),
            Self::Redact => {}
            Self::Mask { keep } => keep_last(text, *keep, out),
            Self::Hash { label, key } => {
                out.push(b'[');
                out.extend_from_slice(label.as_bytes());
                out.push(b':');
                // HMAC takes a key of any length; were it to refuse one, the label alone stays.
                if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
                    mac.update(text);
                    for byte in mac.finalize().into_bytes().iter().take(8) {
                        out.push(hex_digit(byte >> 4));
                        out.push(hex_digit(byte & 15));
                    }
                }
                out.push(b']');
            }
            Self::FixedShape => {
                for character in String::from_utf8_lossy(text).chars() {
                    out.extend_from_slice(shape(character).encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        other => b'a' + (other - 10),
    }
}

fn shape(character: char) -> char {
    if character.is_ascii_digit() {
        '0'
    } else if character.is_ascii_uppercase() {
        'X'
    } else if character.is_ascii_lowercase() || !character.is_ascii() {
        'x'
    } else {
        character
    }
}

/// Letters and digits count, punctuation stays, so that `4111-1111-1111-1111` keeps its shape. A
/// value with no more letters and digits than `keep` would stay whole: then none of it stays.
fn keep_last(text: &[u8], keep: usize, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    let counts = |character: &char| !character.is_ascii() || character.is_ascii_alphanumeric();
    let total = text.chars().filter(counts).count();
    let hidden = if keep < total { total - keep } else { total };
    let mut seen = 0;
    for character in text.chars() {
        let masked = counts(&character) && {
            seen += 1;
            seen <= hidden
        };
        let shown = if masked { '*' } else { character };
        out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Secret;

    fn rendered(action: &Action, text: &str) -> String {
        let mut out = Vec::new();
        action.render(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn keeps_the_last_letters_and_digits_and_the_punctuation() {
        let mask = Action::Mask { keep: 4 };
        assert_eq!(rendered(&mask, "4111-1111-1111-1234"), "****-****-****-1234");
        assert_eq!(rendered(&mask, "12-3"), "**-*", "a value that would stay whole is hidden whole");
        assert_eq!(rendered(&Action::Mask { keep: 0 }, "a@b.c"), "*@*.*");
    }

    #[test]
    fn a_fixed_shape_shows_nothing_but_the_shape() {
        assert_eq!(rendered(&Action::FixedShape, "Zoë 078-05-1120"), "Xxx 000-00-0000");
    }

    #[test]
    fn equal_values_hash_alike_and_only_under_the_same_key() {
        let hash = |key: &str| Action::Hash { label: "EMAIL".into(), key: Arc::from(key.as_bytes()) };
        let one = rendered(&hash("k"), "a@b.c");
        assert_eq!(one, rendered(&hash("k"), "a@b.c"));
        assert_ne!(one, rendered(&hash("l"), "a@b.c"));
        assert_ne!(one, rendered(&hash("k"), "a@b.d"));
        assert!(one.starts_with("[EMAIL:") && one.len() == "[EMAIL:]".len() + 16, "{one}");
    }

    #[test]
    fn debug_output_holds_no_key() {
        let hash = Action::Hash { label: "EMAIL".into(), key: Arc::from(*b"canary-key") };
        let bytes = format!("{:?}", b"canary-key");
        let shown = format!("{hash:?}");
        assert!(!shown.contains("canary") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }

    #[test]
    fn a_key_that_is_not_in_the_environment_is_a_problem() {
        let mut problems = Problems::new();
        let action = ActionConfig::Hash { key: Secret { env: "ABSENT".to_owned() } };
        let at = At::root().member("masking");
        assert_eq!(Action::compile(None, Some(&action), "X", &at, &|_| None, &mut problems), None);
        assert_eq!(
            problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
            ["masking.action.hash.key"]
        );
    }

    #[test]
    fn two_ways_to_say_it_at_once_are_a_problem() {
        let mut problems = Problems::new();
        let action = Some(&ActionConfig::Redact);
        assert_eq!(Action::compile(Some("x"), action, "X", &At::root(), &|_| None, &mut problems), None);
        assert!(!problems.is_empty());
    }
}

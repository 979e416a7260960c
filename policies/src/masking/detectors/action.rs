//! What takes the place of a value that was found: compiled actions and their rendering.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::masking::config::ActionConfig;
use crate::policy::{At, Environment, Problems};

/// Hexadecimal digits of a digest that are shown: 128 bits, too many for two values to meet by chance.
const DIGEST_DIGITS: usize = 32;

/// A compiled [`ActionConfig`]: renders what takes the place of a value.
///
/// `Debug` shows no key.
#[derive(Clone)]
pub struct Action {
    kind: Kind,
    /// `[EMAIL]`: shown where the value as a whole is not at hand.
    label: Box<str>,
}

#[derive(Clone)]
enum Kind {
    Replace(Box<[u8]>),
    Redact,
    Mask { keep: usize },
    Hash { key: Hmac<Sha256> },
    FixedShape,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Replace(_) => "replace",
            Kind::Redact => "redact",
            Kind::Mask { .. } => "mask",
            Kind::Hash { .. } => "hash",
            Kind::FixedShape => "fixed_shape",
        };
        f.debug_struct("Action").field("kind", &kind).field("label", &self.label).finish_non_exhaustive()
    }
}

impl Action {
    /// Replaces with `[NAME]`, the name in upper case.
    pub fn label(name: &str) -> Self {
        let label: Box<str> = format!("[{}]", name.to_ascii_uppercase()).into();
        Self { kind: Kind::Replace(label.as_bytes().into()), label }
    }

    /// The action that a rule names, or the replacement `[NAME]` where it names none. `name` also labels what has no
    /// text of its own.
    ///
    /// `with` and `action` are a rule's two ways to say it; both at once is a problem, and so is a hash whose key the
    /// environment does not have.
    pub fn compile(
        with: Option<&str>,
        action: Option<&ActionConfig>,
        name: &str,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let kind = match (with, action) {
            (Some(_), Some(_)) => {
                problems.add_with_hint(
                    at,
                    "`with` and `action` exclude each other",
                    "`with: X` is short for `action: { replace: { with: X } }`",
                );
                return None;
            }
            (None, None) => return Some(Self::label(name)),
            (Some(text), None) => Kind::Replace(text.as_bytes().into()),
            (None, Some(ActionConfig::Replace { with })) => Kind::Replace(with.as_bytes().into()),
            (None, Some(ActionConfig::Redact)) => Kind::Redact,
            (None, Some(ActionConfig::Mask { keep })) => Kind::Mask { keep: *keep },
            (None, Some(ActionConfig::FixedShape)) => Kind::FixedShape,
            (None, Some(ActionConfig::Hash { key })) => {
                let at = at.member("action").member("hash").member("key");
                let Some(value) = key.resolve(environment) else {
                    problems.add_with_hint(
                        &at,
                        format!("the environment has no `{}`", key.env),
                        "pass it in with vm_config.environment_variables",
                    );
                    return None;
                };
                let Ok(key) = Hmac::<Sha256>::new_from_slice(value.as_bytes()) else {
                    problems.add(&at, "cannot serve as an HMAC key");
                    return None;
                };
                Kind::Hash { key }
            }
        };
        Some(Self { kind, ..Self::label(name) })
    }

    /// Writes what takes the place of `value`, the bytes as they stood in the text.
    pub fn render(&self, value: &[u8], output: &mut Vec<u8>) {
        match &self.kind {
            Kind::Replace(text) => output.extend_from_slice(text),
            Kind::Redact => {}
            Kind::Mask { keep } => mask(value, *keep, output),
            Kind::Hash { key } => hash(key, &self.label, value, output),
            Kind::FixedShape => shape(value, output),
        }
    }

    /// Writes what takes the place of a value that is too long to be at hand as a whole: actions that need
    /// the value fall back to the label.
    pub fn render_open(&self, output: &mut Vec<u8>) {
        match &self.kind {
            Kind::Replace(text) => output.extend_from_slice(text),
            Kind::Redact => {}
            Kind::Mask { .. } | Kind::Hash { .. } | Kind::FixedShape => {
                output.extend_from_slice(self.label.as_bytes());
            }
        }
    }
}

/// Stars every letter and digit but the last `keep`. Bytes beyond ASCII count by code point.
fn mask(value: &[u8], keep: usize, output: &mut Vec<u8>) {
    let counted = value.iter().filter(|&&byte| is_counted(byte)).count();
    let hidden = if counted > keep { counted - keep } else { counted };
    let mut seen = 0;
    let mut visible = false;
    for &byte in value {
        if is_counted(byte) {
            visible = seen >= hidden;
            seen += 1;
            output.push(if visible { byte } else { b'*' });
        } else if byte.is_ascii() || visible {
            output.push(byte);
        }
    }
}

/// Whether `byte` is a letter or a digit, or begins a code point beyond ASCII.
fn is_counted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0xC0
}

/// `[EMAIL:…]`: equal for values that differ only in case and in separators, so that joins survive.
fn hash(key: &Hmac<Sha256>, label: &str, value: &[u8], output: &mut Vec<u8>) {
    let mut mac = key.clone();
    let name_like = value.contains(&b'@');
    for byte in value {
        if *byte != b' ' && (name_like || !matches!(byte, b'-' | b'(' | b')')) {
            mac.update(&[byte.to_ascii_lowercase()]);
        }
    }
    output.extend_from_slice(label.strip_suffix(']').unwrap_or(label).as_bytes());
    output.push(b':');
    let digest = mac.finalize().into_bytes();
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(DIGEST_DIGITS);
    output.extend(digits.map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    output.push(b']');
}

/// Every digit becomes `0`, every letter `x` or `X`, every code point beyond ASCII `x`.
fn shape(value: &[u8], output: &mut Vec<u8>) {
    for &byte in value {
        match byte {
            b'0'..=b'9' => output.push(b'0'),
            b'A'..=b'Z' => output.push(b'X'),
            b'a'..=b'z' | 0xC0.. => output.push(b'x'),
            0x80..=0xBF => {}
            _ => output.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Secret;

    fn rendered(config: &ActionConfig, value: &str) -> String {
        let mut problems = Problems::new();
        let action = Action::compile(
            None,
            Some(config),
            "us_ssn",
            &At::root(),
            &|name| (name == "KEY").then(|| "k".to_owned()),
            &mut problems,
        )
        .unwrap();
        let mut output = Vec::new();
        action.render(value.as_bytes(), &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn mask_keeps_only_the_last_letters_and_digits() {
        let mask = |keep, value| rendered(&ActionConfig::Mask { keep }, value);
        assert_eq!(mask(4, "078-05-1120"), "***-**-1120");
        assert_eq!(mask(0, "078-05-1120"), "***-**-****");
        assert_eq!(mask(3, "zoe@x.com"), "***@*.com");
        assert_eq!(mask(5, "０１2"), "***");
        assert_eq!(mask(1, "aé"), "*é");
    }

    #[test]
    fn a_value_that_is_not_longer_than_what_is_kept_shows_nothing() {
        assert_eq!(rendered(&ActionConfig::Mask { keep: 9 }, "078-05-1120"), "***-**-****");
    }

    #[test]
    fn digests_join_whatever_the_separators_and_case() {
        let hash = |value| rendered(&ActionConfig::Hash { key: Secret { env: "KEY".into() } }, value);
        assert_eq!(hash("078-05-1120"), hash("078051120"));
        assert_eq!(hash("Zoe@Example.com"), hash("zoe@example.com"));
        assert_ne!(hash("078051120"), hash("078051121"));
        assert_ne!(hash("a-b@example.com"), hash("ab@example.com"));
        assert_eq!(hash("078051120").len(), "[US_SSN:]".len() + 32);
    }

    #[test]
    fn shapes_hold_no_letter_or_digit_of_the_value() {
        assert_eq!(rendered(&ActionConfig::FixedShape, "Zoë-12"), "Xxx-00");
    }

    #[test]
    fn an_open_value_shows_its_label_at_most() {
        for (config, expected) in [
            (ActionConfig::Mask { keep: 4 }, "[US_SSN]"),
            (ActionConfig::Redact, ""),
            (ActionConfig::Replace { with: "x".into() }, "x"),
            (ActionConfig::FixedShape, "[US_SSN]"),
        ] {
            let mut problems = Problems::new();
            let action =
                Action::compile(None, Some(&config), "us_ssn", &At::root(), &|_| None, &mut problems)
                    .unwrap();
            let mut output = Vec::new();
            action.render_open(&mut output);
            assert_eq!(output, expected.as_bytes());
        }
    }

    #[test]
    fn a_hash_without_its_key_is_a_problem() {
        let mut problems = Problems::new();
        let config = ActionConfig::Hash { key: Secret { env: "NONE".into() } };
        assert!(Action::compile(None, Some(&config), "x", &At::root(), &|_| None, &mut problems).is_none());
        assert_eq!(
            problems.to_string(),
            "action.hash.key: the environment has no `NONE` (pass it in with vm_config.environment_variables)"
        );
    }
}

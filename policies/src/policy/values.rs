//! Values with a unit or a secret in them, as written in the document: `30s`, `64KiB`, `{ env: NAME }`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Looks an environment variable up. Given by the caller: this crate reads no environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A secret, named by environment variable and never written in the document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable's name.
    pub env: String,
}

impl Secret {
    /// The secret's value, or `None` where the variable is unset or empty.
    pub fn resolve(&self, environment: Environment<'_>) -> Option<String> {
        environment(&self.env).filter(|value| !value.is_empty())
    }
}

/// A span of time: a whole number with `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, unit) = split_unit(&text);
        let milliseconds = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        number
            .zip(milliseconds)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .map(|milliseconds| Self(Duration::from_millis(milliseconds)))
            .ok_or_else(|| {
                de::Error::custom(format!("`{text}` is not a span of time such as 500ms, 30s, 5m or 1h"))
            })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds.is_multiple_of(1_000) {
            write!(f, "{}s", milliseconds / 1_000)
        } else {
            write!(f, "{milliseconds}ms")
        }
    }
}

/// A number of bytes: a whole number, alone or with `B`, `KiB` or `MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl de::Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 65536, 64KiB or 4MiB")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                usize::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                let (number, unit) = split_unit(text);
                let factor = match unit {
                    "" | "B" => Some(1),
                    "KiB" => Some(1 << 10),
                    "MiB" => Some(1 << 20),
                    _ => None,
                };
                number
                    .zip(factor)
                    .and_then(|(number, factor)| number.checked_mul(factor))
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .map(Size)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

/// `"30s"` → `(Some(30), "s")`.
fn split_unit(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Option<Duration> {
        serde_json::from_value::<Span>(text.into()).ok().map(|span| span.0)
    }

    fn size(value: serde_json::Value) -> Option<usize> {
        serde_json::from_value::<Size>(value).ok().map(|size| size.0)
    }

    #[test]
    fn spans_need_a_number_and_a_known_unit() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("30s"), Some(Duration::from_secs(30)));
        assert_eq!(span("10m"), Some(Duration::from_secs(600)));
        assert_eq!(span("1h"), Some(Duration::from_secs(3600)));
        for wrong in ["", "s", "30", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_or_without_a_binary_unit() {
        assert_eq!(size(65536.into()), Some(65536));
        assert_eq!(size("64KiB".into()), Some(65536));
        assert_eq!(size("4MiB".into()), Some(4 << 20));
        assert_eq!(size("12".into()), Some(12));
        for wrong in ["", "KiB", "1kb", "1GiB", "-1"] {
            assert_eq!(size(wrong.into()), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_is_empty_is_no_secret() {
        let secret = Secret { env: "KEY".to_owned() };
        assert_eq!(secret.resolve(&|_| Some(String::new())), None);
        assert_eq!(secret.resolve(&|name| (name == "KEY").then(|| "v".to_owned())).as_deref(), Some("v"));
    }
}

//! Numbers and literals of JSON (RFC 8259 sections 3 and 6).

/// Whether a byte can be part of a number or literal.
pub(super) fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether these bytes are a number or a literal. `NaN` and the infinities count, because Python's
/// encoder writes them.
pub(super) fn is_valid(token: &[u8]) -> bool {
    match token {
        b"true" | b"false" | b"null" | b"NaN" | b"Infinity" | b"-Infinity" => true,
        _ => is_number(token),
    }
}

fn is_number(token: &[u8]) -> bool {
    let rest = token.strip_prefix(b"-").unwrap_or(token);
    let (whole, rest) = digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole.first() == Some(&b'0')) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let (fraction, rest) = digits(fraction);
            if fraction.is_empty() {
                return false;
            }
            rest
        }
        None => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = match exponent {
                [b'+' | b'-', exponent @ ..] => exponent,
                exponent => exponent,
            };
            let (power, rest) = digits(exponent);
            !power.is_empty() && rest.is_empty()
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_numbers_of_rfc_8259() {
        for number in
            ["0", "-0", "12", "1.5", "-1.25e+10", "4E7", "0.0", "1e-3", "NaN", "-Infinity", "true", "null"]
        {
            assert!(is_valid(number.as_bytes()), "{number}");
        }
        for other in ["", "-", "01", "1.", ".5", "1e", "+1", "1e+", "12-34", "0x1", "True", "nul", "1.2.3"] {
            assert!(!is_valid(other.as_bytes()), "{other}");
        }
    }
}

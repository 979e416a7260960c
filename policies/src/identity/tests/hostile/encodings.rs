//! The shape of the compact serialisation and its base64url.

use Reason::{TokenAmbiguous, TokenMalformed};

use super::super::forge::{b64, claims, good, header, raw};
use super::{Case, case};
use crate::reason::Reason;

/// The good token's parts, as text.
fn parts() -> [String; 3] {
    let token = String::from_utf8(good("ES256")).expect("tokens are ASCII");
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

fn edited(part: usize, edit: impl FnOnce(&str) -> String) -> Vec<u8> {
    let mut parts = parts();
    parts[part] = edit(&parts[part]);
    parts.join(".").into_bytes()
}

fn inserted(part: usize, at: usize, text: &str) -> Vec<u8> {
    edited(part, |part| format!("{}{text}{}", &part[..at], &part[at..]))
}

/// The same bytes, spelled with trailing bits that are not zero. `None` where the part has none to set.
fn loose_end(part: &str) -> Option<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return None;
    }
    let last = part.chars().last()?;
    let index = ALPHABET.find(last)?;
    Some(format!("{}{}", &part[..part.len() - 1], &ALPHABET[index + 1..index + 2]))
}

/// A token whose header and claims have such lengths that trailing bits are left over.
fn uneven() -> [String; 3] {
    let mut header = header("ES256").to_string();
    while header.len().is_multiple_of(3) {
        header.push(' ');
    }
    let mut claims = claims().to_string();
    while claims.len().is_multiple_of(3) {
        claims.push(' ');
    }
    let token = String::from_utf8(raw(header, claims, "ES256")).expect("tokens are ASCII");
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

fn loose(part: usize) -> Vec<u8> {
    let mut parts = uneven();
    parts[part] = loose_end(&parts[part]).expect("the part is uneven");
    parts.join(".").into_bytes()
}

pub(super) fn cases() -> Vec<Case> {
    let [header, claims, signature] = parts();
    let long = "A".repeat(20 * 1024);
    vec![
        case("one dot", ".", TokenMalformed),
        case("two dots alone", "..", TokenMalformed),
        case("not a JWS at all", "lsv2_pt_0123456789abcdef", TokenMalformed),
        case("one part", header.clone(), TokenMalformed),
        case("two parts", format!("{header}.{claims}"), TokenMalformed),
        case("four parts", format!("{header}.{claims}.{signature}.{signature}"), TokenMalformed),
        case(
            "five parts, as in JWE",
            format!("{header}.{claims}.{signature}.{claims}.{header}"),
            TokenMalformed,
        ),
        case("a leading dot", format!(".{header}.{claims}.{signature}"), TokenMalformed),
        case("a trailing dot", format!("{header}.{claims}.{signature}."), TokenMalformed),
        case("an empty header", format!(".{claims}.{signature}"), TokenMalformed),
        case("empty claims", format!("{header}..{signature}"), TokenMalformed),
        case("a padded header", edited(0, |part| format!("{part}=")), TokenMalformed),
        case("padded claims", edited(1, |part| format!("{part}==")), TokenMalformed),
        case("a padded signature", edited(2, |part| format!("{part}==")), TokenMalformed),
        case("percent-encoded padding", edited(2, |part| format!("{part}%3D%3D")), TokenMalformed),
        case("white space in the header", inserted(0, 4, "\u{b}"), TokenMalformed),
        case("a line feed in the claims", inserted(1, 8, "\n"), TokenMalformed),
        case("a carriage return in the signature", inserted(2, 8, "\r"), TokenMalformed),
        case("a space in the claims", inserted(1, 8, " "), TokenAmbiguous),
        case("a tab in the signature", inserted(2, 8, "\t"), TokenAmbiguous),
        case("a comma and a second token", [good("ES256"), good("RS256")].join(&b","[..]), TokenAmbiguous),
        case("a NUL in the signature", inserted(2, 8, "\0"), TokenMalformed),
        case("a character that is not ASCII", inserted(1, 8, "é"), TokenMalformed),
        case("plus from the standard alphabet", inserted(1, 8, "+AAA"), TokenMalformed),
        case("slash from the standard alphabet", inserted(2, 8, "/AAA"), TokenMalformed),
        case(
            "a length that base64 cannot have",
            edited(2, |part| part[..part.len() - 1].to_owned()),
            TokenMalformed,
        ),
        case("set trailing bits in the header", loose(0), TokenMalformed),
        case("set trailing bits in the claims", loose(1), TokenMalformed),
        case("set trailing bits in the signature", loose(2), TokenMalformed),
        case("more than 16 KiB", format!("{header}.{long}.{signature}"), TokenMalformed),
        case("one byte more than 16 KiB", "A".repeat(16 * 1024 + 1), TokenMalformed),
        case(
            "flattened JSON serialisation",
            format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#),
            TokenAmbiguous,
        ),
        case("a quoted token", format!("\"{header}.{claims}.{signature}\""), TokenMalformed),
        case("a second Bearer", format!("Bearer {header}.{claims}.{signature}"), TokenAmbiguous),
        case(
            "a header that is plain JSON",
            format!("{{\"alg\":\"ES256\"}}.{claims}.{signature}"),
            TokenMalformed,
        ),
        case(
            "doubly encoded parts",
            format!("{}.{}.{}", b64(&header), b64(&claims), b64(&signature)),
            TokenMalformed,
        ),
    ]
}

//! Tokens that say what they are by how they begin.
//!
//! Sources: GitHub, "Behind GitHub's new authentication token formats" (2021); AWS IAM reference, "Unique
//! identifiers"; Google Cloud, "API keys" and "OAuth 2.0 access tokens"; Slack, "Token types"; Stripe, "API
//! keys"; OpenAI, Anthropic and LangSmith key pages; RFC 7515 section 3 (JWS compact form) and RFC 7516 section
//! 3.1 (JWE), whose header is a JSON object, so that its base64url begins with `eyJ`.

use super::super::view::{Found, Stop, View, is_word};
use super::{FoundSecret, Secret};

/// Bytes of a token that are read; a longer one goes on without being held.
pub(super) const MOST: usize = 512;

/// A kind of token: how it begins, what it is made of, and how much of that at least and at most.
struct Kind {
    prefix: &'static [u8],
    class: fn(u8) -> bool,
    least: usize,
    most: usize,
    /// Whether it holds a digit, as words do not.
    digit: bool,
}

const fn kind(prefix: &'static [u8], class: fn(u8) -> bool, least: usize) -> Kind {
    Kind { prefix, class, least, most: usize::MAX, digit: false }
}

const KINDS: &[Kind] = &[
    // GitHub, GitLab.
    kind(b"ghp_", alphanumeric, 30),
    kind(b"gho_", alphanumeric, 30),
    kind(b"ghu_", alphanumeric, 30),
    kind(b"ghs_", alphanumeric, 30),
    kind(b"ghr_", alphanumeric, 30),
    kind(b"github_pat_", word, 22),
    kind(b"glpat-", word_or_hyphen, 20),
    // Slack.
    kind(b"xoxb-", alphanumeric_or_hyphen, 10),
    kind(b"xoxa-", alphanumeric_or_hyphen, 10),
    kind(b"xoxp-", alphanumeric_or_hyphen, 10),
    kind(b"xoxr-", alphanumeric_or_hyphen, 10),
    kind(b"xoxs-", alphanumeric_or_hyphen, 10),
    kind(b"xoxe-", alphanumeric_or_hyphen, 10),
    kind(b"xapp-", alphanumeric_or_hyphen, 10),
    // Stripe.
    kind(b"sk_live_", alphanumeric, 10),
    kind(b"sk_test_", alphanumeric, 10),
    kind(b"rk_live_", alphanumeric, 10),
    kind(b"rk_test_", alphanumeric, 10),
    kind(b"whsec_", base64, 16),
    // OpenAI, Anthropic.
    kind(b"sk-ant-", word_or_hyphen, 16),
    kind(b"sk-proj-", word_or_hyphen, 16),
    kind(b"sk-svcacct-", word_or_hyphen, 16),
    kind(b"sk-admin-", word_or_hyphen, 16),
    Kind { prefix: b"sk-", class: word_or_hyphen, least: 20, most: usize::MAX, digit: true },
    // LangSmith.
    kind(b"lsv2_pt_", word, 16),
    kind(b"lsv2_sk_", word, 16),
    kind(b"ls__", alphanumeric, 16),
    // AWS: access key ids are exactly twenty.
    Kind { prefix: b"AKIA", class: upper_or_digit, least: 16, most: 16, digit: false },
    Kind { prefix: b"ASIA", class: upper_or_digit, least: 16, most: 16, digit: false },
    Kind { prefix: b"ABIA", class: upper_or_digit, least: 16, most: 16, digit: false },
    Kind { prefix: b"ACCA", class: upper_or_digit, least: 16, most: 16, digit: false },
    // Google.
    Kind { prefix: b"AIza", class: word_or_hyphen, least: 35, most: 35, digit: false },
    kind(b"GOCSPX-", word_or_hyphen, 20),
    kind(b"ya29.", word_or_hyphen, 20),
    // Other services that agents call.
    kind(b"hf_", alphanumeric, 30),
    kind(b"npm_", alphanumeric, 30),
    kind(b"gsk_", alphanumeric, 30),
    kind(b"tvly-", word_or_hyphen, 20),
];

/// A token at `start`.
pub(in super::super) fn token(view: &View<'_>, start: usize) -> FoundSecret {
    if !view.word_begins(start) {
        return Err(Stop::No);
    }
    let mut more = false;
    if view.byte(start)? == Some(b'e') {
        return jwt(view, start);
    }
    for kind in KINDS {
        match view.literal(start, kind.prefix) {
            Ok(begin) => match rest(view, start, begin, kind) {
                Err(Stop::No) => {}
                other => return other,
            },
            Err(stop) => more |= stop == Stop::More,
        }
    }
    Err(if more { Stop::More } else { Stop::No })
}

/// How tokens begin.
pub(in super::super) fn prefixes() -> impl Iterator<Item = &'static [u8]> {
    KINDS.iter().map(|kind| kind.prefix)
}

/// Whether a token may begin with `word`: what most words are told apart by.
pub(in super::super) fn may_begin(word: &[u8]) -> bool {
    matches!(word.first(), Some(b'g' | b'x' | b's' | b'r' | b'w' | b'l' | b'G' | b'h' | b'n' | b't'))
        && KINDS.iter().any(|kind| kind.prefix.first() == word.first() && kind.prefix.starts_with(word))
}

/// What follows the prefix of a token that begins at `start`.
fn rest(view: &View<'_>, start: usize, begin: usize, kind: &Kind) -> FoundSecret {
    let end = view.run(begin, MOST, kind.class)?;
    let body = view.span(begin, end);
    if body.len() < kind.least
        || body.len() > kind.most
        || (kind.digit && !body.iter().any(u8::is_ascii_digit))
    {
        return Err(Stop::No);
    }
    if body.len() == MOST {
        return Ok(Secret::While(end, kind.class));
    }
    // A hyphen at the end belongs to the sentence.
    let hyphens = body.iter().rev().take_while(|byte| **byte == b'-').count();
    let end = end - hyphens;
    if end - start > kind.prefix.len() { Ok(Secret::Ends(end)) } else { Err(Stop::No) }
}

/// `header.payload.signature`, all base64url, the signature possibly empty, or the five parts of a JWE.
fn jwt(view: &View<'_>, start: usize) -> FoundSecret {
    let begin = view.literal(start, b"eyJ")?;
    let header = view.run(begin, MOST, word_or_hyphen)?;
    if header < begin + 7 || header == begin + MOST || view.byte(header)? != Some(b'.') {
        return Err(Stop::No);
    }
    // The second part of a JWS; a JWE with a direct key has an empty one.
    let mut end = view.run(header + 1, MOST, word_or_hyphen)?;
    if end < header + 5 && view.byte(end)? != Some(b'.') {
        return Err(Stop::No);
    }
    for _ in 0..3 {
        if end - start >= MOST {
            return Ok(Secret::While(end, word_hyphen_or_dot));
        }
        if view.byte(end)? != Some(b'.')
            || !view.byte(end + 1)?.is_some_and(|byte| word_or_hyphen(byte) || byte == b'.')
        {
            break;
        }
        end = view.run(end + 1, MOST, word_or_hyphen)?;
    }
    if end - start >= MOST { Ok(Secret::While(end, word_hyphen_or_dot)) } else { Ok(Secret::Ends(end)) }
}

/// The path of a Slack webhook, which is its secret, behind `hooks.slack.com/services/`.
pub(in super::super) fn slack_hook(view: &View<'_>, start: usize) -> Found {
    if view.previous(start) != Some(b'/')
        || !super::super::context::Context::read(view, start).text().ends_with(b"hooks.slack.com/services/")
    {
        return Err(Stop::No);
    }
    let end = view.run(start, 100, |byte| byte.is_ascii_alphanumeric() || byte == b'/')?;
    if end - start < 20 || view.byte(end)?.is_some_and(is_word) { Err(Stop::No) } else { Ok(end) }
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn alphanumeric_or_hyphen(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn word(byte: u8) -> bool {
    is_word(byte)
}

fn word_or_hyphen(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn word_hyphen_or_dot(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'-' | b'.')
}

fn upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-')
}

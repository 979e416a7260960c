//! The desk's style, script and icon: part of the program, nothing from elsewhere.

use axum::Router;
use axum::routing::get;

use super::kept;
use crate::app::Desk;

const STYLE: &str = include_str!("../../assets/desk.css");
const SCRIPT: &str = include_str!("../../assets/desk.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// Part of the assets' URLs, changing with their content (FNV-1a), so that browsers may keep them for ever.
pub(super) const VERSION: &str = {
    const HASH: u64 =
        fnv(fnv(fnv(0xcbf2_9ce4_8422_2325, STYLE.as_bytes()), SCRIPT.as_bytes()), ICON.as_bytes());
    const DIGITS: [u8; 8] = digits(HASH);
    match std::str::from_utf8(&DIGITS) {
        Ok(text) => text,
        Err(_) => "0",
    }
};

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

const fn digits(hash: u64) -> [u8; 8] {
    let mut digits = [0; 8];
    let mut index = 0;
    while index < 8 {
        digits[index] = b"0123456789abcdef"[((hash >> (index * 4)) & 15) as usize];
        index += 1;
    }
    digits
}

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/assets/{version}/desk.css", get(async || kept("text/css; charset=utf-8", STYLE.as_bytes())))
        .route(
            "/assets/{version}/desk.js",
            get(async || kept("text/javascript; charset=utf-8", SCRIPT.as_bytes())),
        )
        .route("/assets/{version}/icon.svg", get(async || kept("image/svg+xml", ICON.as_bytes())))
}

//! The compiled section `masking`, and the part of it that holds for one caller.

use std::sync::Arc;

use super::Media;
use super::config::{Config, Unmaskable};
use super::masker::Masker;
use crate::identity::Identity;
use crate::policy::{At, Environment, Problems};

/// The compiled section `masking`, shared by all streams.
#[derive(Debug, Clone)]
pub struct Masking {
    unmaskable: Unmaskable,
    everyone: Plan,
}

impl Masking {
    /// Checks and compiles the section; `None` where a problem was added.
    pub fn compile(
        config: &Config,
        _at: &At,
        _environment: Environment<'_>,
        _problems: &mut Problems,
    ) -> Option<Self> {
        Some(Self { unmaskable: config.unmaskable, everyone: Plan { rules: Arc::new(Rules {}) } })
    }

    /// What is masked for this caller; without an identity, nothing is exempt.
    pub fn plan(&self, _identity: Option<&Identity>) -> Plan {
        self.everyone.clone()
    }

    /// Whether a body that cannot be read may leave as it is.
    pub fn unmaskable_passes(&self) -> bool {
        self.unmaskable == Unmaskable::Pass
    }
}

/// What is masked for one caller. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) rules: Arc<Rules>,
}

impl Plan {
    /// A masker for one body.
    pub fn open(&self, media: Media) -> Masker {
        Masker::new(Arc::clone(&self.rules), media)
    }

    /// A text for people to read: `body`, masked by the same rules, cut after `limit` bytes.
    pub fn preview(&self, body: &[u8], limit: usize) -> Preview {
        let media = match body.trim_ascii_start().first() {
            Some(b'{' | b'[' | b'"') => Media::Json,
            _ => Media::Text,
        };
        let mut masker = self.open(media);
        let mut masked = Vec::new();
        if masker.push(body, &mut masked).and_then(|()| masker.finish(&mut masked)).is_err() {
            return Preview { text: String::new(), truncated: true };
        }
        let mut text = String::from_utf8_lossy(&masked).into_owned();
        let truncated = text.len() > limit;
        text.truncate(text.floor_char_boundary(limit));
        Preview { text, truncated }
    }
}

/// A masked body, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The masked text; bytes that are no UTF-8 are replaced by U+FFFD.
    pub text: String,
    /// Whether the body goes on after the text.
    pub truncated: bool,
}

/// The rules of one plan.
#[derive(Debug)]
pub(super) struct Rules {}

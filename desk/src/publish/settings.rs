//! Where checkpoints and lines go, as written and as checked.
//!
//! ```yaml
//! publish:
//!   webhook: { url: https://keeper.example.com/checkpoints, token_env: KEEPER_TOKEN }
//!   bucket: s3://evidence/graphwarden
//!   witnesses:
//!     - { url: https://witness.example.com, key: witness.example.com+5b8b1cb4+BEz… }
//!   archive: file:///var/lib/graphwarden/archive
//! ```
//!
//! Buckets take their region, endpoint and credentials from the usual `AWS_…` variables.

use serde::Deserialize;
use url::Url;

use super::WitnessKey;

/// As written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPublish {
    /// An HTTP service.
    pub webhook: Option<RawWebhook>,
    /// A bucket or directory for checkpoints.
    pub bucket: Option<String>,
    /// Witnesses.
    pub witnesses: Vec<RawWitness>,
    /// A bucket or directory for lines and tiles.
    pub archive: Option<String>,
}

/// An HTTP service as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWebhook {
    /// Its URL.
    pub url: String,
    /// The environment variable that holds its bearer token.
    #[serde(default)]
    pub token_env: Option<String>,
}

/// A witness as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWitness {
    /// Its submission prefix.
    pub url: String,
    /// Its public key.
    pub key: String,
}

/// As checked.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// An HTTP service.
    pub webhook: Option<Webhook>,
    /// A bucket or directory for checkpoints.
    pub bucket: Option<Url>,
    /// Witnesses.
    pub witnesses: Vec<Witness>,
    /// A bucket or directory for lines and tiles.
    pub archive: Option<Url>,
}

/// An HTTP service that keeps checkpoints.
#[derive(Clone)]
pub struct Webhook {
    /// Its URL.
    pub url: Url,
    /// Its bearer token.
    pub token: Option<String>,
}

/// A C2SP tlog-witness.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Its submission prefix.
    pub url: Url,
    /// What it signs with.
    pub key: WitnessKey,
}

impl Publish {
    /// Checks what was written; problems are added with their place.
    pub fn resolve(
        raw: RawPublish,
        environment: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<String>,
    ) -> Self {
        let web = |place: &str, text: &str, problems: &mut Vec<String>| {
            Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .or_else(|| {
                    problems.push(format!("{place}: `{text}` is not an http or https URL"));
                    None
                })
        };
        let store = |place: &str, text: Option<String>, problems: &mut Vec<String>| {
            let text = text?;
            Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "file" | "s3")).or_else(|| {
                problems.push(format!(
                    "{place}: `{text}` is not a URL such as s3://bucket/prefix or file:///var/lib/graphwarden/archive"
                ));
                None
            })
        };
        let webhook = raw.webhook.and_then(|webhook| {
            let token = webhook.token_env.and_then(|variable| {
                let token = environment(&variable).filter(|token| !token.is_empty());
                if token.is_none() {
                    problems.push(format!(
                        "publish.webhook.token_env: the environment variable {variable} is not set"
                    ));
                }
                token
            });
            Some(Webhook { url: web("publish.webhook.url", &webhook.url, problems)?, token })
        });
        let witnesses = raw
            .witnesses
            .iter()
            .enumerate()
            .filter_map(|(index, witness)| {
                let key = WitnessKey::parse(&witness.key);
                if key.is_none() {
                    problems.push(format!(
                        "publish.witnesses[{index}].key: it is not a witness's key, such as name+1a2b3c4d+BEz… (C2SP tlog-cosignature)"
                    ));
                }
                let url = web(&format!("publish.witnesses[{index}].url"), &witness.url, problems);
                Some(Witness { url: url?, key: key? })
            })
            .collect();
        Self {
            webhook,
            bucket: store("publish.bucket", raw.bucket, problems),
            witnesses,
            archive: store("publish.archive", raw.archive, problems),
        }
    }
}

impl Publish {
    /// The places, in words.
    pub fn in_words(&self) -> String {
        let mut places: Vec<String> = self.webhook.iter().map(Webhook::name).collect();
        places.extend(self.bucket.iter().map(|url| format!("bucket {}", shown(url))));
        places.extend(self.witnesses.iter().map(|witness| format!("witness {}", witness.key.name())));
        places.extend(self.archive.iter().map(|url| format!("archive {}", shown(url))));
        if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") }
    }
}

impl Webhook {
    /// Its name among the places: the URL without what could be secret in it.
    pub fn name(&self) -> String {
        format!("webhook {}", shown(&self.url))
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// A URL without user, password and query.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only URLs without a host refuse, and those have neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

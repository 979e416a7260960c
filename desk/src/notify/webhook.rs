//! Messages by HTTP: signed by the Standard Webhooks scheme for services, as Slack takes them for chats.
//!
//! ```text
//! POST /hooks/graphwarden
//! webhook-id: msg_0199…
//! webhook-timestamp: 1795342530
//! webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=
//!
//! {"type":"approval.asked","timestamp":"2026-11-22T10:15:30.000000Z","data":{…}}
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::Undelivered;
use super::message::Message;
use super::template::Template;

/// The longest time that a receiver may ask to be left alone, in seconds.
const LONGEST_PAUSE: u64 = 3_600;

/// A receiver.
pub(super) struct Webhook {
    client: reqwest::Client,
    url: Url,
    style: Style,
}

enum Style {
    /// Signed, for services.
    Standard { keys: Vec<Vec<u8>>, token: Option<String>, body: Option<Template> },
    /// As Slack takes it: the URL is the secret.
    Slack(Template),
}

impl std::fmt::Debug for Webhook {
    /// Without the URL, which is a secret where it leads to Slack.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// The signing keys in `whsec_… whsec_…`; `None` where one is none.
pub(super) fn keys(text: &str) -> Option<Vec<Vec<u8>>> {
    let keys: Option<Vec<Vec<u8>>> = text
        .split_whitespace()
        .map(|secret| {
            let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
            (24..=64).contains(&key.len()).then_some(key)
        })
        .collect();
    keys.filter(|keys| !keys.is_empty())
}

/// The value of `webhook-signature`: one signature a key, over `id.timestamp.body`.
fn signature(keys: &[Vec<u8>], id: &str, timestamp: i64, body: &str) -> String {
    let sign = |key: &Vec<u8>| {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
}

impl Webhook {
    pub(super) fn standard(
        client: reqwest::Client,
        url: Url,
        keys: Vec<Vec<u8>>,
        token: Option<String>,
        body: Option<Template>,
    ) -> Self {
        Self { client, url, style: Style::Standard { keys, token, body } }
    }

    pub(super) fn slack(client: reqwest::Client, url: Url, text: Template) -> Self {
        Self { client, url, style: Style::Slack(text) }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self.style {
            Style::Standard { .. } => "webhook",
            Style::Slack(_) => "slack",
        }
    }

    /// Sends a message. `now` is in milliseconds since the Unix epoch.
    pub(super) async fn send(
        &self,
        id: &str,
        message: &Message,
        link: &str,
        now: i64,
    ) -> Result<(), Undelivered> {
        let body = self.body(message, link).map_err(Undelivered::hopeless)?;
        let mut request = self.client.post(self.url.clone()).header("content-type", "application/json");
        if let Style::Standard { keys, token, .. } = &self.style {
            let timestamp = now / 1_000;
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", timestamp)
                .header("webhook-signature", signature(keys, id, timestamp, &body));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
        }
        let answer =
            request.body(body).send().await.map_err(|error| Undelivered::worth_another_try(cause(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("it answered {status}");
        // Standard Webhooks: 410 ends it. What is wrong with the request itself does not become right by waiting,
        // but a receiver that is being mended or given its key may answer so for a while.
        if status == StatusCode::GONE {
            return Err(Undelivered::hopeless(why));
        }
        let pause = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let pause = pause.map(|seconds| i64::try_from(seconds.min(LONGEST_PAUSE) * 1_000).unwrap_or(0));
        Err(Undelivered { why, hopeless: false, pause })
    }

    fn body(&self, message: &Message, link: &str) -> Result<String, String> {
        match &self.style {
            Style::Standard { body: Some(template), .. } => template.render(message, link),
            Style::Standard { body: None, .. } => {
                let mut data = serde_json::to_value(message).map_err(|error| error.to_string())?;
                data["url"] = json!(link);
                let kind = format!("approval.{}", message.event.word());
                Ok(json!({"type": kind, "timestamp": message.at, "data": data}).to_string())
            }
            Style::Slack(text) => {
                let text = text.render(message, link)?;
                let section = json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
                let button = json!({
                    "type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": link,
                });
                let actions = json!({"type": "actions", "elements": [button]});
                Ok(json!({"text": text, "blocks": [section, actions]}).to_string())
            }
        }
    }
}

/// Why nothing came, without the URL.
fn cause(error: &reqwest::Error) -> &'static str {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let inside = chain.into_iter().any(|error| error.to_string().contains("no public address"));
    match () {
        () if inside => "its name leads to no public address",
        () if error.is_timeout() => "it did not answer in time",
        () if error.is_connect() => "it cannot be reached",
        () => "the connection broke",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_scheme_s_own_library_verifies() {
        let secrets =
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bmV4dC1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcw=="];
        let keys = keys(&secrets.join(" ")).unwrap();
        let body = r#"{"type":"approval.asked"}"#;
        let now = crate::clock::machine() / 1_000;
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", signature(&keys, "msg_1", now, body).parse().unwrap());
        for secret in secrets {
            let library = standardwebhooks::Webhook::new(secret).unwrap();
            library.verify(body.as_bytes(), &headers).unwrap();
            assert!(library.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn a_secret_that_is_short_or_no_base64_is_none() {
        for secret in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_***"] {
            assert!(keys(secret).is_none(), "{secret}");
        }
    }
}

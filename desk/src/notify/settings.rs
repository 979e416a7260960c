//! Who is told of what, as written and as checked. Secrets are named by environment variable, never written here.
//!
//! ```yaml
//! notify:
//!   webhooks:
//!     - { name: tickets, url: https://tickets.example.com/hooks/graphwarden, secret_env: TICKETS_SECRET }
//!   slack:
//!     - { name: approvers, url_env: SLACK_URL, events: [asked, break_glass] }
//!   mail:
//!     - { name: managers, server: smtp.example.com, user: desk, password_env: SMTP_PASSWORD,
//!         from: Graphwarden <desk@example.com>, to: [managers@example.com], events: [asked] }
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::message::{Happening, Screen};
use super::template::{Form, Template};
use super::{guard, mail, webhook};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The text of a Slack message.
const SLACK: &str = "*{{ headline }}: {{ what }}*\n\
    {% if requester.initials %}{{ requester.initials }} asked{% else %}Asked{% endif %}\
    {% if requester.roles %} ({{ requester.roles | join(\", \") }}){% endif %}, rule: {{ rule }}\n\
    {% if kind == \"standing\" %}_A standing grant, not one request._\n{% endif %}\
    {% if status == \"pending\" %}{{ agreed }} of {{ quorum }} agreed, needs {{ asked }}, ends {{ ends }}\n{% endif %}\
    <{{ url }}|Open it at the desk>";
/// The subject of a mail.
const SUBJECT: &str = "[Graphwarden] {{ headline }}: {{ what }}";
/// The text of a mail.
const TEXT: &str = "{{ headline }}: {{ what }}\n\n\
    {% if requester.initials %}Asked by: {{ requester.initials }}{% if requester.roles %} ({{ requester.roles | join(\", \") }}){% endif %}\n{% endif %}\
    Rule: {{ rule }}\n\
    {% if kind == \"standing\" %}This is a standing grant, not one request.\n{% endif %}\
    {% if status == \"pending\" %}Agreed: {{ agreed }} of {{ quorum }}, needs {{ asked }}\nEnds: {{ ends }}\n{% endif %}\
    \nThe request, and the decision, are at the desk:\n{{ url }}\n";

/// As written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNotify {
    /// HTTP services.
    pub webhooks: Vec<RawWebhook>,
    /// Slack, or what takes the same messages.
    pub slack: Vec<RawSlack>,
    /// Mailboxes.
    pub mail: Vec<RawMail>,
}

/// An HTTP service as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWebhook {
    /// What it is called on pages and in the database.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The environment variable that holds its signing secret, `whsec_…`; several, separated by blanks, while one is
    /// replaced by the next.
    pub secret_env: String,
    /// The environment variable that holds a bearer token for it.
    pub token_env: Option<String>,
    /// The events that it is told of; all of them without a list.
    pub events: Vec<String>,
    /// A template for a body of its own, which has to make JSON.
    pub template: Option<String>,
    /// Whether it is inside: then http and private addresses are taken.
    pub internal: bool,
}

/// Slack, or what takes the same messages, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSlack {
    /// What it is called on pages and in the database.
    pub name: String,
    /// The environment variable that holds its incoming webhook's URL, which is a secret.
    pub url_env: String,
    /// The events that it is told of; all of them without a list.
    pub events: Vec<String>,
    /// A template for the text, in mrkdwn.
    pub template: Option<String>,
    /// Whether it is inside: then http and private addresses are taken.
    pub internal: bool,
}

/// Mailboxes as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMail {
    /// What it is called on pages and in the database.
    pub name: String,
    /// The mail server's name, with a port where it is not 587 (STARTTLS) or 465 (TLS from the start).
    pub server: String,
    /// Who the desk is at the mail server.
    pub user: Option<String>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// The sender.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// The events that they are told of; all of them without a list.
    pub events: Vec<String>,
    /// A template for the subject.
    pub subject: Option<String>,
    /// A template for the text.
    pub template: Option<String>,
    /// Whether the server is inside and has no TLS.
    pub plaintext: bool,
}

/// Everyone who is told.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// Each by itself.
    pub destinations: Vec<Arc<Destination>>,
}

/// Someone who is told.
#[derive(Debug)]
pub struct Destination {
    /// What it is called on pages and in the database.
    pub name: String,
    /// What it is told of.
    pub events: Vec<Happening>,
    pub(super) way: Way,
}

/// How it gets there.
#[derive(Debug)]
pub(super) enum Way {
    Webhook(Box<webhook::Webhook>),
    Mail(Box<mail::Mail>),
}

impl Destination {
    /// `webhook`, `slack` or `mail`.
    pub fn kind(&self) -> &'static str {
        match &self.way {
            Way::Webhook(webhook) => webhook.kind(),
            Way::Mail(_) => "mail",
        }
    }
}

/// What the store has to know to fill the outbox.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Who is told.
    pub destinations: Vec<Arc<Destination>>,
    /// What every text goes through.
    pub screen: Screen,
}

impl Notify {
    /// Checks what was written; problems are added with their place.
    pub fn resolve(
        raw: RawNotify,
        environment: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut check = Check { environment, problems, names: BTreeSet::new() };
        let mut destinations = Vec::new();
        for (index, raw) in raw.webhooks.into_iter().enumerate() {
            destinations.extend(check.webhook(&format!("notify.webhooks[{index}]"), raw));
        }
        for (index, raw) in raw.slack.into_iter().enumerate() {
            destinations.extend(check.slack(&format!("notify.slack[{index}]"), raw));
        }
        for (index, raw) in raw.mail.into_iter().enumerate() {
            destinations.extend(check.mail(&format!("notify.mail[{index}]"), raw));
        }
        Self { destinations: destinations.into_iter().map(Arc::new).collect() }
    }

    /// Who is told, in words.
    pub fn in_words(&self) -> String {
        if self.destinations.is_empty() {
            return "nobody".to_owned();
        }
        let name = |to: &Arc<Destination>| format!("{} {}", to.kind(), to.name);
        self.destinations.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

struct Check<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<String>,
    names: BTreeSet<String>,
}

impl Check<'_> {
    fn webhook(&mut self, at: &str, raw: RawWebhook) -> Option<Destination> {
        let name = self.name(at, &raw.name);
        let events = self.events(at, &raw.events);
        let url = self.url(&format!("{at}.url"), &raw.url, raw.internal);
        let keys = self.secret(&format!("{at}.secret_env"), &raw.secret_env).and_then(|secret| {
            let keys = webhook::keys(&secret);
            if keys.is_none() {
                self.problems.push(format!(
                    "{at}.secret_env: {} has to hold whsec_ and 24 to 64 bytes in base64, as from `openssl rand -base64 32`",
                    raw.secret_env
                ));
            }
            keys
        });
        let token = match &raw.token_env {
            Some(variable) => Some(self.secret(&format!("{at}.token_env"), variable)?),
            None => None,
        };
        let body = match raw.template {
            Some(source) => Some(self.template(&format!("{at}.template"), &source, Form::Json)?),
            None => None,
        };
        let client = self.client(at, raw.internal)?;
        let way = webhook::Webhook::standard(client, url?, keys?, token, body);
        Some(Destination { name: name?, events: events?, way: Way::Webhook(Box::new(way)) })
    }

    fn slack(&mut self, at: &str, raw: RawSlack) -> Option<Destination> {
        let name = self.name(at, &raw.name);
        let events = self.events(at, &raw.events);
        let url = self.secret(&format!("{at}.url_env"), &raw.url_env).and_then(|url| {
            // The URL is a secret, so the problem does not show it.
            let url = Url::parse(&url).ok();
            let wrong = url.as_ref().map_or(Some("it is not a URL"), |url| guard::problem(url, raw.internal));
            if let Some(wrong) = wrong {
                self.problems.push(format!("{at}.url_env: {}: {wrong}", raw.url_env));
                return None;
            }
            url
        });
        let source = raw.template.as_deref().unwrap_or(SLACK);
        let text = self.template(&format!("{at}.template"), source, Form::Slack);
        let client = self.client(at, raw.internal)?;
        let way = webhook::Webhook::slack(client, url?, text?);
        Some(Destination { name: name?, events: events?, way: Way::Webhook(Box::new(way)) })
    }

    fn mail(&mut self, at: &str, raw: RawMail) -> Option<Destination> {
        let name = self.name(at, &raw.name);
        let events = self.events(at, &raw.events);
        let subject = raw.subject.as_deref().unwrap_or(SUBJECT);
        let subject = self.template(&format!("{at}.subject"), subject, Form::Plain);
        let text = raw.template.as_deref().unwrap_or(TEXT);
        let text = self.template(&format!("{at}.template"), text, Form::Plain);
        let password = match (&raw.user, &raw.password_env) {
            (Some(user), Some(variable)) => {
                Some((user.clone(), self.secret(&format!("{at}.password_env"), variable)?))
            }
            (None, None) => None,
            _ => {
                self.problems.push(format!("{at}: `user` and `password_env` go together"));
                return None;
            }
        };
        if raw.plaintext && password.is_some() {
            self.problems.push(format!("{at}: a password is not sent without TLS; leave out `plaintext`"));
        }
        let server =
            mail::Server { address: &raw.server, plaintext: raw.plaintext, password, timeout: TIMEOUT };
        let way = mail::Mail::new(server, &raw.from, &raw.to, subject?, text?);
        let way = way.map_err(|error| self.problems.push(format!("{at}: {error:#}"))).ok()?;
        Some(Destination { name: name?, events: events?, way: Way::Mail(Box::new(way)) })
    }

    fn name(&mut self, at: &str, name: &str) -> Option<String> {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !fits {
            self.problems.push(format!("{at}.name: 1 to 64 letters, digits, `-`, `_` or `.` are needed"));
            return None;
        }
        if !self.names.insert(name.to_owned()) {
            self.problems.push(format!("{at}.name: there is another {name}"));
            return None;
        }
        Some(name.to_owned())
    }

    fn events(&mut self, at: &str, words: &[String]) -> Option<Vec<Happening>> {
        if words.is_empty() {
            return Some(Happening::ALL.to_vec());
        }
        let known: Option<Vec<Happening>> = words.iter().map(|word| Happening::parse(word)).collect();
        if known.is_none() {
            let all: Vec<&str> = Happening::ALL.iter().map(|happening| happening.word()).collect();
            self.problems.push(format!("{at}.events: the events are {}", all.join(", ")));
        }
        known
    }

    fn url(&mut self, at: &str, text: &str, internal: bool) -> Option<Url> {
        let url = Url::parse(text).ok();
        match url.as_ref().map_or(Some("it is not a URL"), |url| guard::problem(url, internal)) {
            Some(wrong) => {
                self.problems.push(format!("{at}: {wrong}"));
                None
            }
            None => url,
        }
    }

    fn secret(&mut self, at: &str, variable: &str) -> Option<String> {
        let secret = (self.environment)(variable).filter(|secret| !secret.is_empty());
        if secret.is_none() {
            self.problems.push(format!("{at}: the environment variable {variable} is not set"));
        }
        secret
    }

    fn template(&mut self, at: &str, source: &str, form: Form) -> Option<Template> {
        Template::compile(source, form).map_err(|error| self.problems.push(format!("{at}: {error}"))).ok()
    }

    fn client(&mut self, at: &str, internal: bool) -> Option<reqwest::Client> {
        guard::client(internal, TIMEOUT).map_err(|error| self.problems.push(format!("{at}: {error:#}"))).ok()
    }
}

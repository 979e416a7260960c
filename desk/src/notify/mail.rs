//! Messages by e-mail: plain text over SMTP with TLS, by the lettre crate.

use std::time::Duration;

use anyhow::{Context, ensure};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor};
use uuid::Uuid;

use super::Undelivered;
use super::message::Message;
use super::template::Template;

/// The longest subject, in bytes.
const LONGEST_SUBJECT: usize = 200;

/// A mail server as it is written.
pub(super) struct Server<'a> {
    /// Its name, with a port where it is not the usual one.
    pub(super) address: &'a str,
    /// Whether there is no TLS.
    pub(super) plaintext: bool,
    /// Who the desk is there, and the password.
    pub(super) password: Option<(String, String)>,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// Mailboxes behind a server.
pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    subject: Template,
    text: Template,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").finish_non_exhaustive()
    }
}

impl Mail {
    pub(super) fn new(
        server: Server<'_>,
        from: &str,
        to: &[String],
        subject: Template,
        text: Template,
    ) -> anyhow::Result<Self> {
        let (host, port) = match server.address.rsplit_once(':') {
            Some((host, port)) => {
                (host, Some(port.parse::<u16>().context("the port of `server` is no number")?))
            }
            None => (server.address, None),
        };
        ensure!(!host.is_empty(), "`server` is missing");
        ensure!(!to.is_empty(), "`to` is empty");
        let mut builder = match (server.plaintext, port) {
            (true, _) => {
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port.unwrap_or(25))
            }
            (false, Some(465)) => AsyncSmtpTransport::<Tokio1Executor>::relay(host)?,
            (false, port) => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)?.port(port.unwrap_or(587))
            }
        };
        if let Some((user, password)) = server.password {
            builder = builder.credentials(Credentials::new(user, password));
        }
        let mailbox =
            |text: &str| text.parse::<Mailbox>().with_context(|| format!("`{text}` is no mail address"));
        Ok(Self {
            transport: builder.timeout(Some(server.timeout)).build(),
            from: mailbox(from)?,
            to: to.iter().map(|text| mailbox(text)).collect::<anyhow::Result<_>>()?,
            subject,
            text,
        })
    }

    /// Sends a message to all at once: each address is in the envelope, and none is shown to the others.
    pub(super) async fn send(&self, id: &str, message: &Message, link: &str) -> Result<(), Undelivered> {
        let letter =
            self.letter(id, message, link).map_err(|error| Undelivered::hopeless(format!("{error:#}")))?;
        match self.transport.send(letter).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let code = error.status().map(|code| format!(" ({code})")).unwrap_or_default();
                let why = match () {
                    () if error.is_timeout() => "the mail server did not answer in time",
                    () if error.is_tls() => "the mail server's TLS failed",
                    () if error.is_permanent() => "the mail server refused it",
                    () if error.is_transient() => "the mail server cannot take it now",
                    () => "the mail server cannot be reached",
                };
                Err(Undelivered::worth_another_try(format!("{why}{code}")))
            }
        }
    }

    fn letter(&self, id: &str, message: &Message, link: &str) -> anyhow::Result<Letter> {
        let wrong = |error: String| anyhow::anyhow!("the template: {error}");
        let text = self.text.render(message, link).map_err(wrong)?;
        let subject = self.subject.render(message, link).map_err(wrong)?;
        let mut subject: String =
            subject.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        subject.truncate(subject.floor_char_boundary(LONGEST_SUBJECT));
        // A letter that is sent again has the same id, so that mailboxes show it once.
        let domain = self.from.email.domain();
        let number = id.strip_prefix("msg_").and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
        let mut builder: MessageBuilder = Letter::builder()
            .from(self.from.clone())
            .message_id(Some(format!("<{}@{domain}>", number.simple())))
            // All messages about an approval are one thread.
            .references(format!("<approval-{}@{domain}>", message.approval))
            .subject(subject)
            // RFC 3834: nobody is to answer by machine.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.bcc(to.clone());
        }
        Ok(builder.body(text)?)
    }
}

//! How messages are worded: Jinja templates by the minijinja crate, over the members of a
//! [`Message`](super::Message), `url` and `headline`. A template that names what is not there, or runs for ever, is an
//! error; each is tried with every event when the desk starts.

use std::fmt::Write as _;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde::Serialize;

use super::message::{Happening, Message, ToldOperation, ToldRequester};
use crate::approvals::{Kind, Status};

/// Steps that a template may take: more than any list of operations needs.
const FUEL: u64 = 50_000;
/// The longest text that a template may make, in bytes.
const LONGEST: usize = 64 * 1024;

/// What is done to values on their way into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing: a plain text.
    Plain,
    /// They become JSON values.
    Json,
    /// `&`, `<` and `>` are written as Slack's mrkdwn wants them.
    Slack,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    environment: Environment<'static>,
}

/// What a template sees.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(flatten)]
    message: &'a Message,
    url: &'a str,
    headline: &'static str,
}

impl Template {
    /// Compiles `source` and tries it with every event; the error says what is wrong, and where.
    pub(super) fn compile(source: &str, form: Form) -> Result<Self, String> {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("join", minijinja::filters::join);
        environment.add_filter("length", minijinja::filters::length);
        environment.add_filter("upper", minijinja::filters::upper);
        environment.add_filter("lower", minijinja::filters::lower);
        environment.add_filter("replace", minijinja::filters::replace);
        environment.add_filter("default", minijinja::filters::default);
        environment.set_auto_escape_callback(move |_| match form {
            Form::Json => AutoEscape::Json,
            Form::Plain | Form::Slack => AutoEscape::None,
        });
        if form == Form::Slack {
            environment.set_formatter(for_slack);
        }
        environment.add_template_owned("t", source.to_owned()).map_err(|error| told(&error))?;
        let template = Self { environment };
        for event in Happening::ALL {
            let text = template.render(&example(event), "https://desk.example.com/approvals/1")?;
            if form == Form::Json {
                serde_json::from_str::<serde_json::Value>(&text)
                    .map_err(|error| format!("for the event {} it makes no JSON: {error}", event.word()))?;
            }
        }
        Ok(template)
    }

    /// The text of a message.
    pub(super) fn render(&self, message: &Message, url: &str) -> Result<String, String> {
        let context = Context { message, url, headline: message.event.headline() };
        let template = self.environment.get_template("t").map_err(|error| told(&error))?;
        let text =
            template.render(Value::from(minijinja::value::Serde(&context))).map_err(|error| told(&error))?;
        if text.len() > LONGEST {
            return Err(format!("the text is longer than {LONGEST} bytes"));
        }
        Ok(text)
    }
}

fn told(error: &Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("{}{detail}{line}", error.kind())
}

/// Control characters of mrkdwn are `&`, `<` and `>`; a link of ours is written in the template itself.
fn for_slack(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    for letter in value.to_string().chars() {
        match letter {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            letter => out.write_char(letter)?,
        }
    }
    Ok(())
}

/// A message to try templates with.
fn example(event: Happening) -> Message {
    Message {
        approval: "01a20302-2b19-7586-827f-8a80cbc7f389".to_owned(),
        event,
        at: "2026-11-22T10:15:30.000000Z".to_owned(),
        status: Status::Pending,
        kind: Kind::Request,
        what: "Run the graph \"billing\"".to_owned(),
        operations: vec![ToldOperation {
            operation: "threads.create_run".to_owned(),
            class: "execute".to_owned(),
            graph: None,
        }],
        rule: "writes need\ta manager".to_owned(),
        gateway: "gate-1".to_owned(),
        requester: ToldRequester { initials: String::new(), roles: Vec::new() },
        asked: "the role manager".to_owned(),
        agreed: 0,
        quorum: 2,
        ends: "2026-11-22T11:15:30.000000Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_is_wrong_is_refused_before_it_is_needed() {
        for (source, form) in [
            ("{{ nothing }}", Form::Plain),
            ("{{ requester.email }}", Form::Slack),
            ("{% for x in", Form::Plain),
            ("{% if event == 'denied' %}{{ nothing }}{% endif %}", Form::Plain),
            ("{\"text\": {{ what }}", Form::Json),
            ("{\"text\": \"{{ what }}\"}", Form::Json),
            (
                "{% for a in 'xxxxxxxxxxxxxxxx' %}{% for b in 'xxxxxxxxxxxxxxxx' %}{% for c in 'xxxxxxxxxxxxxxxx' %}{% for d in 'xxxxxxxxxxxxxxxx' %}{{ a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
                Form::Plain,
            ),
        ] {
            assert!(Template::compile(source, form).is_err(), "{source}");
        }
    }

    #[test]
    fn values_cannot_break_out_of_their_form() {
        let mut message = example(Happening::Asked);
        message.rule = "<!channel> & \"quotes\"".to_owned();
        let slack = Template::compile("*{{ rule }}* <{{ url }}|open>", Form::Slack).unwrap();
        let text = slack.render(&message, "https://desk/1?a=b&c").unwrap();
        assert_eq!(text, "*&lt;!channel&gt; &amp; \"quotes\"* <https://desk/1?a=b&amp;c|open>");
        let json = Template::compile("{\"text\": {{ rule }}, \"n\": {{ quorum }}}", Form::Json).unwrap();
        let text: serde_json::Value = serde_json::from_str(&json.render(&message, "x").unwrap()).unwrap();
        assert_eq!(text["text"], message.rule);
        assert_eq!(text["n"], 2);
    }
}

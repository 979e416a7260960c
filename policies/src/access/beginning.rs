//! A conversation that a caller begins with an A2A agent, where callers keep to threads of their own.
//!
//! LangGraph makes the thread of a first message by itself, and nothing in the message gets into that thread's
//! metadata: it would be nobody's. So the gate makes the thread first, with the caller's mark, and the message goes to
//! that one:
//! ```json
//! POST /threads {"thread_id":"0c6e…","if_exists":"do_nothing","metadata":{"owner":"uma"}}
//! {"thread_id":"0c6e…","metadata":{"owner":"uma"}}
//! {"params":{"message":{"messageId":"m"}}} → {"params":{"message":{"contextId":"0c6e…","messageId":"m"}}}
//! ```
//! Whether the caller may run the agent has been decided before. It leaves the asking to the filter.

use serde_json::{Value, json};

use super::ownership::{Owned, Ownership};
use super::stamp;
use crate::operation::{Knowledge, Question, Refused, Request, Stamping, Subject};
use crate::reason::Reason;

/// A thread that has to be made before a message can go to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The thread.
    pub thread: String,
    /// The message with the thread's id in it; `None` where the caller named it.
    pub body: Option<Vec<u8>>,
    key: String,
    owner: String,
}

impl Ownership {
    /// What has to be made before `request` can go on; `None` where nothing has. `fresh` is an id that nobody else
    /// has: the thread's, where the caller names none.
    ///
    /// # Errors
    /// A message that the thread's id cannot be put into.
    pub fn begins(
        &self,
        owner: &str,
        request: &Request,
        known: &Knowledge,
        fresh: &str,
        body: &[u8],
    ) -> Result<Option<Beginning>, Refused> {
        if !self.owns(Owned::Threads) || !may_begin(request) {
            return Ok(None);
        }
        let named = request.operations.first().and_then(|operation| operation.thread.as_deref());
        let begun = |thread: &str, body| Beginning {
            thread: thread.to_owned(),
            body,
            key: self.key().to_owned(),
            owner: owner.to_owned(),
        };
        match named {
            Some(thread) => {
                let found = known.get(&Subject::Thread(thread.to_owned()));
                Ok(found.is_some_and(|found| !found.is_there()).then(|| begun(thread, None)))
            }
            None => stamp::in_context(fresh, body).map(|body| Some(begun(fresh, Some(body)))),
        }
    }
}

/// Whether a request is one message to an agent that may be the first of its conversation: it answers nothing, and is
/// about no task.
pub(super) fn may_begin(request: &Request) -> bool {
    request.stamping == Stamping::Unreachable
        && request.body.as_ref().is_some_and(Value::is_object)
        && request.judged().all(|(operation, facts)| operation.run.is_none() && !facts.resume)
        && request.operations.first().is_some_and(|operation| operation.action == "create_run")
}

impl Beginning {
    /// The request to LangGraph that makes the thread, or finds it made.
    pub fn question(&self) -> Question {
        let body = json!({
            "thread_id": self.thread, "if_exists": "do_nothing", "metadata": { &self.key: self.owner },
        });
        Question { method: "POST", path: "/threads".to_owned(), body: body.to_string().into_bytes() }
    }

    /// Reads LangGraph's answer.
    ///
    /// # Errors
    /// With [`Reason::NotFound`] where somebody else has made a thread of this id meanwhile, with
    /// [`Reason::LookupUnavailable`] where it is no answer.
    pub fn answer(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        let refused = |reason: Reason, detail: &str| Err(Refused { reason, detail: detail.to_owned() });
        let asked = Subject::Thread(self.thread.clone());
        // A server with authorisation of its own does not show a thread of somebody else, and keeps it all the same.
        if status == 409 {
            return refused(Reason::NotFound, "thread not found");
        }
        // The answer is one thread as a search would have found it.
        let found = match status {
            200 => asked.answer(200, &[b"[", body, b"]"].concat(), Some(&self.key)),
            _ => None,
        };
        match found {
            Some(found) if found.owner() == Some(&self.owner) => Ok(()),
            Some(_) => refused(Reason::NotFound, "thread not found"),
            None => refused(Reason::LookupUnavailable, "the thread of this conversation could not be made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Config, Found, Reader};
    use crate::policy::{At, Problems};
    use std::sync::Arc;

    const FRESH: &str = "0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    const NAMED: &str = "5d6e0f1a-9a1b-4c2d-8e3f-0123456789ab";
    const RUN: &str = "1f0e0f1a-9a1b-6c2d-8e3f-0123456789ab";

    fn begins(body: &Value, found: Option<Found>) -> Result<Option<Beginning>, Refused> {
        let mut problems = Problems::new();
        let reader = Reader::compile(&Config::default(), &At::root(), &mut problems).unwrap();
        let head = reader.read_head(b"POST", b"/a2a/agent", &[]).unwrap();
        let bytes = body.to_string().into_bytes();
        let request = reader.read(&head, &bytes).unwrap();
        let section = json!({"key": "owner", "value": "identity.subject"});
        let config = serde_json::from_value(section).unwrap();
        let ownership = Ownership::compile(&config, &At::root(), &mut problems).unwrap();
        let known: Knowledge =
            found.map(|found| (Subject::Thread(NAMED.to_owned()), Arc::new(found))).into_iter().collect();
        let begins = ownership.begins("uma", &request, &known, FRESH, &bytes);
        let admits = ownership.admits("uma", &request, &known);
        // What begins is let through, and what names no thread of the caller's and begins nothing is not.
        if !matches!(begins, Ok(None)) {
            assert_eq!(admits, Ok(()));
        } else if !known.values().any(|found| found.owner() == Some("uma")) {
            assert!(admits.is_err(), "{body}");
        }
        begins
    }

    fn message(method: &str, message: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}})
    }

    fn thing(owner: &str) -> Found {
        Found::Thing { graph: None, assistant: None, owner: Some(owner.to_owned()) }
    }

    #[test]
    fn a_first_message_gets_a_thread_of_the_callers() {
        for method in ["message/send", "SendMessage", "message/stream", "SendStreamingMessage"] {
            let beginning = begins(&message(method, json!({"messageId": "m"})), None).unwrap().unwrap();
            assert_eq!(beginning.thread, FRESH);
            let sent: Value = serde_json::from_slice(beginning.body.as_deref().unwrap()).unwrap();
            assert_eq!(sent, message(method, json!({"messageId": "m", "contextId": FRESH})));
            let question = beginning.question();
            assert_eq!((question.method, question.path.as_str()), ("POST", "/threads"));
            let made: Value = serde_json::from_slice(&question.body).unwrap();
            let asks = json!({"thread_id": FRESH, "if_exists": "do_nothing", "metadata": {"owner": "uma"}});
            assert_eq!(made, asks);
        }
        let nulls = begins(&message("message/send", json!({"contextId": null, "m": 1})), None);
        let sent = String::from_utf8(nulls.unwrap().unwrap().body.unwrap()).unwrap();
        assert!(sent.contains(&format!("\"contextId\":\"{FRESH}\"")) && !sent.contains("null"), "{sent}");
    }

    #[test]
    fn a_thread_that_is_named_and_not_there_is_made() {
        let named = message("message/send", json!({"contextId": NAMED}));
        let beginning = begins(&named, Some(Found::Nothing)).unwrap().unwrap();
        assert_eq!((beginning.thread.as_str(), beginning.body), (NAMED, None));
        assert_eq!(begins(&named, Some(thing("uma"))), Ok(None));
        assert_eq!(begins(&named, Some(thing("eli"))), Ok(None));
        assert_eq!(begins(&named, None), Ok(None), "nothing is known of it");
    }

    #[test]
    fn what_answers_or_is_about_a_task_begins_nothing() {
        for (method, body) in [
            ("message/send", json!({"contextId": NAMED, "taskId": format!("{NAMED}:{RUN}")})),
            ("message/send", json!({"contextId": NAMED, "command": {"resume": "yes"}})),
            ("message/send", json!({"taskId": RUN})),
        ] {
            assert_eq!(begins(&message(method, body.clone()), Some(Found::Nothing)), Ok(None), "{body}");
        }
        for method in ["tasks/get", "tasks/list", "tasks/cancel"] {
            let params = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"contextId": NAMED}});
            assert_eq!(begins(&params, Some(Found::Nothing)), Ok(None), "{method}");
        }
        let one = message("message/send", json!({"messageId": "m"}));
        assert_eq!(begins(&json!([one]), None), Ok(None), "a batch begins nothing");
    }

    #[test]
    fn only_a_thread_with_the_callers_mark_is_theirs() {
        let beginning = begins(&message("message/send", json!({"m": 1})), None).unwrap().unwrap();
        let reason = |status: u16, body: Value| {
            beginning.answer(status, body.to_string().as_bytes()).err().map(|refused| refused.reason)
        };
        let thread = |id: &str, owner: &str| json!({"thread_id": id, "metadata": {"owner": owner}});
        assert_eq!(reason(200, thread(FRESH, "uma")), None);
        assert_eq!(reason(200, thread(FRESH, "eli")), Some(Reason::NotFound));
        assert_eq!(reason(200, json!({"thread_id": FRESH})), Some(Reason::NotFound));
        assert_eq!(reason(409, json!({"detail": "exists"})), Some(Reason::NotFound));
        for (status, body) in [
            (200, thread(NAMED, "uma")),
            (200, json!({})),
            (200, json!([thread(FRESH, "uma")])),
            (201, thread(FRESH, "uma")),
            (404, json!({})),
            (500, json!({})),
            (503, json!({})),
        ] {
            assert_eq!(reason(status, body.clone()), Some(Reason::LookupUnavailable), "{status} {body}");
        }
        let smuggled = br#"{"thread_id":"x"},{"thread_id":"0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab"}"#;
        assert!(beginning.answer(200, smuggled).is_err());
    }
}

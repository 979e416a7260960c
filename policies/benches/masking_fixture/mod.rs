//! The bodies that masking is measured on, and the regular expressions that it is compared with. Shared with
//! `tests/bench/timed`, which runs them in Envoy's V8.

use std::borrow::Cow;

use graphwarden_policies::masking::{Config, Masking, Media, Plan};
use graphwarden_policies::policy::{At, Problems};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Value, json};

/// Envoy hands a body over in chunks of this size.
const CHUNK: usize = 16 << 10;

/// The plan of a masking section.
pub(crate) fn plan(section: Value) -> Plan {
    let config: Config = serde_json::from_value(section).expect("a section");
    let mut problems = Problems::new();
    Masking::compile(&config, &At::root(), &|_| None, &mut problems).expect("a sound section").plan(None)
}

/// Masks a body as it comes from the host.
pub(crate) fn mask(plan: &Plan, media: Media, body: &[u8], output: &mut Vec<u8>) {
    output.clear();
    let mut masker = plan.open(media);
    for chunk in body.chunks(CHUNK) {
        masker.push(chunk, output).expect("no cut");
    }
    masker.finish(output).expect("no cut");
}

/// One turn of a support agent's thread, as LangGraph keeps it: messages with their metadata, a tool's answer as
/// JSON in a string, and ten values to mask.
fn turn(number: usize) -> Value {
    let record = json!({
        "customer_id": format!("c-{number}"), "name": "Zo\u{eb} O'Brien", "email": format!("zoe.obrien{number}@example.com"),
        "ssn": "219-09-9999", "phone": "+1 (415) 555-0132", "card": {"number": "4111 1111 1111 1111", "exp": "09/29"},
        "notes": format!("Prefers e-mail; the last order, number {number}, was late \u{2014} refunded in full."),
        "orders": [{"id": format!("o-{number}"), "total": 120.5, "placed_at": "2026-11-22T11:27:48.552578+00:00"}]
    });
    json!([
        {"content": "Who is this customer? Please check whether the last order has arrived and what was paid for it.",
         "additional_kwargs": {}, "response_metadata": {}, "type": "human", "name": null, "id": "4907982d-b7f8-4daf-bf81-a4b3bb900e68"},
        {"content": [{"type": "text", "text": "Looking that up in the customer database, one moment."}],
         "additional_kwargs": {}, "response_metadata": {"model_name": "gpt-x", "finish_reason": "tool_calls"}, "type": "ai", "name": null,
         "id": "9c1a3519-abd2-4563-a581-6e39b7adb674",
         "tool_calls": [{"name": "get_customer", "args": {"customer_id": format!("c-{number}")}, "id": "call_1", "type": "tool_call"}],
         "invalid_tool_calls": [], "usage_metadata": {"input_tokens": 1482, "output_tokens": 93, "total_tokens": 1575}},
        {"content": record.to_string(), "additional_kwargs": {}, "response_metadata": {}, "type": "tool", "name": "get_customer",
         "id": "8b9bea27-78ff-400f-9d22-081550f3e21c", "tool_call_id": "call_1", "status": "success", "artifact": null},
        {"content": format!("The customer is Zo\u{eb} O'Brien, reachable at zoe.obrien{number}@example.com. The last order \
            arrived on Monday, two days late, and was refunded in full; nothing is open. The team in charge is logistics, \
            and there were three contacts about it since the beginning of the month, all of them by e-mail. Shall I write \
            to them that the case is closed?"),
         "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null, "id": "lc_run--01a20302-7da5-7596-b2f8-5cbc658db5f5",
         "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": null}
    ])
}

/// A state of about `size` bytes.
pub(crate) fn state(size: usize) -> Vec<u8> {
    let mut messages = Vec::new();
    let mut length = 0;
    while length < size {
        let turn = turn(messages.len());
        length += turn.to_string().len();
        messages.extend(turn.as_array().cloned().unwrap_or_default());
    }
    json!({"values": {"messages": messages}, "next": [], "tasks": [], "metadata": {"step": 3, "graph_id": "support_agent"},
        "created_at": "2026-11-22T11:27:48.552578+00:00", "checkpoint": {"thread_id": "01a20302-7ac6-72cd-b044-3a24662c0682"}})
    .to_string()
    .into_bytes()
}

/// What the built-in detectors look for: every form of theirs, without the checks that a pattern cannot make, and with
/// a word of context right before a value where they read one from up to 64 bytes away.
const FORMS: [&str; 29] = [
    // e-mail
    r"[A-Za-z0-9._%+-]{1,64}(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+",
    // SSN, ITIN
    r"\b[0-9]{3}[-\ .][0-9]{2}[-\ .][0-9]{4}\b",
    // payment card
    r"\b(?:[0-9][-\ ]?){11,18}[0-9]\b",
    // IBAN
    r"\b[A-Z]{2}[0-9]{2}(?:\ ?[A-Za-z0-9]{4}){2,7}(?:\ ?[A-Za-z0-9]{1,3})?\b",
    // IPv4, IPv6
    r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b",
    r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?",
    // MAC
    r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b",
    r"\b(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}\b",
    // date of birth
    r"(?x)(?i:dob|birth(?:day|date)?|date[\ _]of[\ _]birth|born|geb(?:oren)?|naissance|nacimiento)[^0-9A-Za-z]{1,4}
      (?:[0-9]{1,4}[-/.\ ][0-9]{1,2}[-/.\ ][0-9]{1,4}
        | [0-9]{1,2}(?:st|nd|rd|th)?[-./\ ]{1,2}[A-Za-z]{3,10}[-./,\ ]{1,2}[0-9]{4}
        | [A-Za-z]{3,10}[-./\ ]{1,2}[0-9]{1,2}(?:st|nd|rd|th)?[-/,\ ]{1,2}[0-9]{4})",
    // passport
    r"(?i:passports?|passeport|reisepass)[^0-9A-Za-z]{1,4}[A-Za-z0-9][0-9]{8}\b",
    // driver licence
    r"(?x)(?i:driver'?s?\ licen[cs]e|driving\ licen[cs]e|dln?|licen[cs]e\ (?:number|no|\#))[^0-9A-Za-z]{1,4}
      [A-Za-z]{0,3}[0-9](?:-?[0-9]){3,15}\b",
    // bank routing
    r"(?i:routing|aba|rtn|bank\ code|ach)[^0-9A-Za-z]{1,4}[0-9]{9}\b",
    // NHS number
    r"\b[0-9]{3}\ ?[0-9]{3}\ ?[0-9]{4}\b",
    // phone, E.164 and national
    r"(?:\+|\b00)[1-9](?:[-\ ./]?[(]?[0-9][)]?){7,14}\b",
    r"[(]?\b[0-9]{2,6}[)]?(?:[-\ ./][0-9]{2,9}){1,4}\b",
    r"\b0[1-9][0-9]{8,10}\b",
    // crypto-currencies
    r"\b0x[0-9A-Fa-f]{40}\b",
    r"\b[13LMDT][1-9A-HJ-NP-Za-km-z]{25,34}\b",
    r"\b(?i:bc1|tb1|ltc1|addr1|stake1)[0-9A-Za-z]{10,100}\b",
    // secrets
    r"-----BEGIN\ [A-Z\ ]{0,20}PRIVATE\ KEY-----",
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{35}",
    r"\bgh[pousr]_[A-Za-z0-9]{36}",
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}",
    r"\blsv2_[a-z]{2}_[A-Za-z0-9_]{32,}",
    r#"(?i:password|passwd|pwd|secret|api[_-]?key|token|authorization)["']?\ ?[:=]\ ?["']?[^\s"']{4,}"#,
];

/// A regular expression over all forms. ASCII classes and boundaries are all it needs; with Unicode ones, which are the
/// library's default, it leaves its fast engine at the first letter beyond ASCII and takes seventy times as long.
pub(crate) fn all_in_one() -> Regex {
    let forms = FORMS.map(|form| format!("(?:{form})"));
    expression(&forms.join("|"))
}

/// A regular expression for each form, which is how filters that are made of them mask: one after another.
pub(crate) fn one_by_one() -> Vec<Regex> {
    FORMS.map(expression).into()
}

fn expression(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).unicode(false).build().expect("a pattern")
}

/// Replaces what `expressions` find, one after another.
pub(crate) fn replace(expressions: &[Regex], body: &[u8]) -> usize {
    let mut body = Cow::Borrowed(body);
    for expression in expressions {
        if let Cow::Owned(replaced) = expression.replace_all(&body, b"[MASKED]".as_slice()) {
            body = Cow::Owned(replaced);
        }
    }
    body.len()
}

/// One event of each kind that a stream is mostly made of, of about 1 KB, and what it is called.
pub(crate) fn events() -> [(&'static str, String); 2] {
    let metadata = json!({"created_by": "system", "assistant_id": "6d30c5b3-718e-51a7-b0a0-e7aa3a248703", "run_attempt": 1,
        "langgraph_version": "1.2.22", "langgraph_api_version": "0.16.7", "langgraph_plan": "enterprise", "langgraph_host": "self-hosted",
        "langgraph_api_url": "http://127.0.0.1:8124", "run_id": "01a20313-eca6-7508-b110-955be1bdf8d4", "thread_id": "01a20313-eca6-7508-b110-955c299a6dc6",
        "graph_id": "nested_agent", "langgraph_step": 1, "langgraph_node": "respond", "langgraph_triggers": ["branch:to:respond"],
        "langgraph_path": ["__pregel_pull", "respond"], "langgraph_checkpoint_ns": "child:38ec7254-e62c-b63f-1fbb-535bbcd895fe"});
    let delta = |text: &str| {
        let message = json!({"content": text, "additional_kwargs": {}, "response_metadata": {}, "type": "AIMessageChunk", "name": null,
            "id": "fake-99492255", "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": null, "tool_call_chunks": [], "chunk_position": null});
        format!(
            "event: messages|child:38ec7254-e62c-b63f-1fbb-535bbcd895fe\r\ndata: {}\r\n\r\n",
            json!([message, metadata])
        )
    };
    let updates = format!(
        "event: updates\r\ndata: {}\r\n\r\n",
        json!({"respond": {"messages": [turn(1)[3], metadata]}})
    );
    [("delta", delta("and so, ")), ("updates", updates)]
}

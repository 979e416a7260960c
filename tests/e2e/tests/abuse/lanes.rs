//! A stream with thousands of texts that grow at once.

use anyhow::{Result, ensure};
use graphwarden_e2e::{Gate, THREAD};
use graphwarden_stand::{Act, Ask, Person, Reply};
use serde_json::json;

use crate::others_are_served;

/// How many there are; the policy's limit is 64.
const LANES: usize = 2_000;

/// Each of the texts gets the first half of a number, and then each the second.
pub(crate) fn stream() -> Vec<Act> {
    let mut events = String::new();
    for half in ["it is 219-0", "9-9999 or so "] {
        for lane in 0..LANES {
            let data = json!([{"type": "AIMessageChunk", "id": format!("m{lane}"), "content": half}, {"langgraph_node": "agent"}]);
            events += &format!("event: messages\ndata: {data}\n\n");
        }
    }
    Reply::whole(200, &[("content-type", "text/event-stream")], events.as_bytes())
}

/// No number is put together again, whatever became of its halves.
pub(crate) async fn thousands_of_lanes_hold_no_more_than_their_limit(gate: &Gate) -> Result<()> {
    let body = json!({"assistant_id": "support_agent", "input": {"word": "please-lanes"}});
    let ask = Ask::post(&format!("/threads/{THREAD}/runs/stream"), &body);
    let answer = gate.send(Person::Analyst, ask).await?;
    ensure!(answer.status == 200, "{}", answer.status);
    let text = answer.text();
    ensure!(!text.contains("219-0"), "half a number went out");
    ensure!(!text.contains("9-9999"), "half a number went out");
    others_are_served(gate).await
}

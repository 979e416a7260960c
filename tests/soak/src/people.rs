//! The manager, who decides about what is held by the number of the request, and leaves alone what its client will leave.

use std::sync::Arc;
use std::time::Duration;

use graphwarden_stand::Person;
use serde_json::Value;

use crate::mix::Kind;
use crate::parts::Parts;

/// Looks at the list twice a second, and decides. A desk that is away is asked again.
pub(crate) async fn decide(parts: Arc<Parts>) {
    loop {
        {
            let (desk, token) = (parts.desk.read().await, parts.tokens.of(Person::Manager));
            for approval in desk.open_approvals(&token).await.unwrap_or_default() {
                let (Some(id), Some(decision)) = (approval["id"].as_str(), decision(&approval)) else {
                    continue;
                };
                let _ = desk.decide(&token, id, decision, "").await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn decision(approval: &Value) -> Option<&'static str> {
    let body: Value = serde_json::from_str(approval["preview"]["body"].as_str()?).ok()?;
    Kind::of(body["input"]["amount"].as_u64()?).decision()
}

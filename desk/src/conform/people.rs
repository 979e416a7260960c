//! What takes people who decide.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::service::{Answer, Service, again, exchange, random_digest, with};
use super::{Check, Decider};

type Kept = Result<Option<String>, String>;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "approve",
        promise: "what is approved says by whom, and stays approved for its exchange",
        people: 1,
        run: |s, d| Box::pin(approve(s, d)),
    },
    Check {
        name: "claimed_once",
        promise: "an approval lets one exchange through, and no second",
        people: 1,
        run: |s, d| Box::pin(claimed_once(s, d)),
    },
    Check {
        name: "claimed_once_at_once",
        promise: "of eight exchanges that wait at once, one gets through",
        people: 1,
        run: |s, d| Box::pin(claimed_at_once(s, d)),
    },
    Check {
        name: "other_bytes",
        promise: "an approval is good for no other bytes and no other person",
        people: 1,
        run: |s, d| Box::pin(other_bytes(s, d)),
    },
    Check {
        name: "deny",
        promise: "what is denied stays denied",
        people: 1,
        run: |s, d| Box::pin(deny(s, d)),
    },
    Check {
        name: "own_request",
        promise: "nobody approves their own request",
        people: 1,
        run: |s, d| Box::pin(own_request(s, d)),
    },
    Check {
        name: "roles",
        promise: "only those whom the rule asks can approve",
        people: 1,
        run: |s, d| Box::pin(roles(s, d)),
    },
    Check {
        name: "late",
        promise: "a decision after the end changes nothing",
        people: 1,
        run: |s, d| Box::pin(late(s, d)),
    },
    Check {
        name: "validity",
        promise: "a granted approval that nobody claims in time ends",
        people: 1,
        run: |s, d| Box::pin(validity(s, d)),
    },
    Check {
        name: "withdrawn",
        promise: "who is withdrawn is not approved afterwards",
        people: 1,
        run: |s, d| Box::pin(withdrawn(s, d)),
    },
    Check {
        name: "wakes",
        promise: "whoever waits hears of a decision",
        people: 1,
        run: |s, d| Box::pin(wakes(s, d)),
    },
    Check {
        name: "quorum",
        promise: "two approvals are those of two people",
        people: 2,
        run: |s, d| Box::pin(quorum(s, d)),
    },
    Check {
        name: "denial",
        promise: "one denial ends a request that another approved",
        people: 2,
        run: |s, d| Box::pin(denial(s, d)),
    },
];

/// Asks, and person `who` decides, who has to be able to.
async fn decided(
    service: &Service,
    decider: &Decider,
    question: &Value,
    who: usize,
    verdict: &str,
) -> Result<Answer, String> {
    let answer = service.expect(question, "pending", "undecided").await?;
    if !decider.decide(&answer.id, who, verdict).await? {
        return Err(format!("person {} cannot decide; does `--approver` name them?", who + 1));
    }
    Ok(answer)
}

async fn approve(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    let asked = decided(service, decider, &question, 0, "approve").await?;
    let answer = service.expect(&question, "approved", "approved by one person").await?;
    let requester = question["requester"]["subject"].as_str().unwrap_or_default();
    let named = answer.who("approve");
    if named.is_empty() || named.iter().any(|(issuer, subject)| issuer.is_empty() || subject.is_empty()) {
        return Err("it names no approver with `issuer` and `subject`, so the gate refuses".to_owned());
    }
    if named.iter().any(|(_, subject)| subject == requester) {
        return Err("it names the requester as the approver".to_owned());
    }
    if answer.id != asked.id {
        return Err("the approval changes its id".to_owned());
    }
    service.expect(&question, "approved", "asked again by the exchange that claimed it").await?;
    Ok(None)
}

async fn claimed_once(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    decided(service, decider, &question, 0, "approve").await?;
    service.expect(&question, "approved", "approved").await?;
    service
        .expect_no_grant(&again(&question), "asked by a second exchange after the first claimed it")
        .await?;
    Ok(None)
}

async fn claimed_at_once(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    let asked = service.ask(&question).await?;
    let questions: Vec<Value> = (0..8).map(|_| again(&question)).collect();
    let waiting = join_all(questions.iter().map(|question| async {
        // The service may not wait by itself, so ask as the gate would.
        for _ in 0..12 {
            match service.ask_waiting(question, 3).await {
                Ok(answer) if answer.status == "approved" => return true,
                Ok(answer) if answer.status == "pending" && answer.id == asked.id => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                _ => return false,
            }
        }
        false
    }));
    let deciding = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        // The first exchange leaves, so that the eight have it among themselves.
        service.withdraw(&asked.id, exchange(&question), true).await?;
        decider.decide(&asked.id, 0, "approve").await
    };
    let (granted, decided) = tokio::join!(waiting, deciding);
    if !decided? {
        return Err("a decision is not taken while eight exchanges wait".to_owned());
    }
    match granted.into_iter().filter(|granted| *granted).count() {
        1 => Ok(None),
        0 => Err("nobody gets through".to_owned()),
        many => Err(format!("{many} exchanges get through by one approval")),
    }
}

async fn other_bytes(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    decided(service, decider, &question, 0, "approve").await?;
    for (pointer, value) in [
        ("/digest", json!(random_digest())),
        ("/requester/subject", json!("somebody-else")),
        ("/requester/issuer", json!("https://other.invalid")),
        ("/policy", json!("cd".repeat(32))),
        ("/rule", json!("another rule")),
    ] {
        let other = with(&again(&question), pointer, value);
        let when =
            format!("with another `{}` than was approved", pointer.trim_start_matches('/').replace('/', "."));
        service.expect_no_grant(&other, &when).await?;
    }
    Ok(None)
}

async fn deny(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    let asked = decided(service, decider, &question, 0, "deny").await?;
    service.expect(&question, "denied", "denied").await?;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect(&question, "denied", "approved after it was denied").await?;
    Ok(None)
}

async fn own_request(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    decided(service, decider, &question, 0, "approve").await?;
    let answer = service.expect(&question, "approved", "approved").await?;
    let Some((issuer, subject)) = answer.who("approve").into_iter().next() else {
        return Err("it names no approver".to_owned());
    };
    let own = with(
        &with(&service.question(), "/requester/issuer", json!(issuer)),
        "/requester/subject",
        json!(subject),
    );
    let asked = service.expect(&own, "pending", "undecided").await?;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect_no_grant(&own, "approved by the requester").await?;
    Ok(None)
}

async fn roles(service: &Service, decider: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/approvers", json!(["role:conform-nobody-has-this"]));
    let asked = service.expect(&question, "pending", "undecided").await?;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect_no_grant(&question, "approved by one whom the rule does not ask").await?;
    Ok(None)
}

async fn late(service: &Service, decider: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/expires_seconds", json!(1));
    let asked = service.ask(&question).await?;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect_no_grant(&question, "approved after its end").await?;
    Ok(None)
}

async fn validity(service: &Service, decider: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/valid_seconds", json!(1));
    decided(service, decider, &question, 0, "approve").await?;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    service.expect_no_grant(&question, "claimed after `valid_seconds`").await?;
    Ok(None)
}

async fn withdrawn(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    let asked = service.ask(&question).await?;
    service.withdraw(&asked.id, exchange(&question), true).await?;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect_no_grant(&question, "approved after it was withdrawn").await?;
    service.expect_no_grant(&again(&question), "asked anew after a withdrawal").await?;
    Ok(None)
}

async fn wakes(service: &Service, decider: &Decider) -> Kept {
    let question = service.question();
    let asked = service.expect(&question, "pending", "undecided").await?;
    let deciding = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        decider.decide(&asked.id, 0, "approve").await
    };
    let (answer, decided) = tokio::join!(service.ask_waiting(&question, 8), deciding);
    decided?;
    let answer = answer?;
    let note = "it does not wake whoever waits: a decision is heard of with the next question";
    service.expect(&question, "approved", "decided").await?;
    Ok((answer.status != "approved" || answer.took > Duration::from_secs(4)).then(|| note.to_owned()))
}

async fn quorum(service: &Service, decider: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/quorum", json!(2));
    let asked = decided(service, decider, &question, 0, "approve").await?;
    service.expect(&question, "pending", "approved by one of two").await?;
    decider.decide(&asked.id, 0, "approve").await?;
    service.expect(&question, "pending", "approved twice by the same person").await?;
    decider.decide(&asked.id, 1, "approve").await?;
    let answer = service.expect(&question, "approved", "approved by two people").await?;
    match answer.who("approve").len() {
        2 => Ok(None),
        people => Err(format!("approved by two people it names {people}, so the gate refuses")),
    }
}

async fn denial(service: &Service, decider: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/quorum", json!(2));
    let asked = decided(service, decider, &question, 0, "approve").await?;
    decider.decide(&asked.id, 1, "deny").await?;
    service.expect(&question, "denied", "approved by one and denied by the other").await?;
    Ok(None)
}

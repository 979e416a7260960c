//! What the gateway's side shows by itself, with nobody deciding.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::service::{Service, again, exchange, random_digest, refused, sound, with};
use super::{Check, Decider};

type Kept = Result<Option<String>, String>;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "token",
        promise: "nobody is answered without the gateway's token",
        people: 0,
        run: |s, d| Box::pin(token(s, d)),
    },
    Check {
        name: "pending",
        promise: "a new question waits for people",
        people: 0,
        run: |s, d| Box::pin(pending(s, d)),
    },
    Check {
        name: "same_exchange",
        promise: "the same exchange gets the same answer",
        people: 0,
        run: |s, d| Box::pin(same_exchange(s, d)),
    },
    Check {
        name: "same_request",
        promise: "the same request by another exchange meets the open approval",
        people: 0,
        run: |s, d| Box::pin(same_request(s, d)),
    },
    Check {
        name: "at_once",
        promise: "sixteen exchanges at once meet one approval",
        people: 0,
        run: |s, d| Box::pin(at_once(s, d)),
    },
    Check {
        name: "binding_digest",
        promise: "other bytes are another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/digest", json!(random_digest()))),
    },
    Check {
        name: "binding_subject",
        promise: "another person is another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/requester/subject", json!("somebody-else"))),
    },
    Check {
        name: "binding_issuer",
        promise: "the same subject of another issuer is another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/requester/issuer", json!("https://other.invalid"))),
    },
    Check {
        name: "binding_policy",
        promise: "another policy is another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/policy", json!("cd".repeat(32)))),
    },
    Check {
        name: "binding_rule",
        promise: "another rule is another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/rule", json!("another rule"))),
    },
    Check {
        name: "binding_operations",
        promise: "other operations are another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/operations/0/operation", json!("threads.delete"))),
    },
    Check {
        name: "binding_asks",
        promise: "other demands are another approval",
        people: 0,
        run: |s, _| Box::pin(bound(s, "/asks/quorum", json!(2))),
    },
    Check {
        name: "exchange_reuse",
        promise: "an exchange cannot be used for another request",
        people: 0,
        run: |s, d| Box::pin(exchange_reuse(s, d)),
    },
    Check {
        name: "unknown_terms",
        promise: "a demand that the service does not know is refused",
        people: 0,
        run: |s, d| Box::pin(unknown_terms(s, d)),
    },
    Check {
        name: "malformed",
        promise: "a question that is not whole is refused",
        people: 0,
        run: |s, d| Box::pin(malformed(s, d)),
    },
    Check {
        name: "preview",
        promise: "where approvers have to see all, a cut preview is refused",
        people: 0,
        run: |s, d| Box::pin(preview(s, d)),
    },
    Check {
        name: "kinds",
        promise: "a standing grant waits for people; past approvers goes only who gives a reason",
        people: 0,
        run: |s, d| Box::pin(kinds(s, d)),
    },
    Check {
        name: "wait",
        promise: "a question is held as long as the gateway says, and no longer",
        people: 0,
        run: |s, d| Box::pin(wait(s, d)),
    },
    Check {
        name: "withdraw",
        promise: "who is withdrawn gets no approval",
        people: 0,
        run: |s, d| Box::pin(withdraw(s, d)),
    },
    Check {
        name: "withdraw_shared",
        promise: "withdrawing one exchange leaves the others waiting",
        people: 0,
        run: |s, d| Box::pin(withdraw_shared(s, d)),
    },
    Check {
        name: "expiry",
        promise: "an undecided approval ends in time, however often it is asked for",
        people: 0,
        run: |s, d| Box::pin(expiry(s, d)),
    },
];

async fn token(service: &Service, _: &Decider) -> Kept {
    let question = service.question().to_string();
    for (token, what) in
        [(None, "a question without a token"), (Some("not-the-gateways-token"), "a wrong token")]
    {
        refused(&service.post(token, question.clone()).await?, what)?;
    }
    Ok(None)
}

async fn pending(service: &Service, _: &Decider) -> Kept {
    let answer = service.expect(&service.question(), "pending", "undecided").await?;
    match answer.who("approve").is_empty() {
        true => Ok(None),
        false => Err("an undecided approval already names approvers".to_owned()),
    }
}

async fn same_exchange(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    let (one, two) = (service.ask(&question).await?, service.ask(&question).await?);
    if one.id != two.id {
        return Err("asked again, the same exchange gets another approval".to_owned());
    }
    Ok(None)
}

async fn same_request(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    let (one, two) = (service.ask(&question).await?, service.ask(&again(&question)).await?);
    if one.id != two.id {
        return Err("approvers would be asked twice for one request".to_owned());
    }
    Ok(None)
}

async fn at_once(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    let questions: Vec<Value> = (0..16).map(|_| again(&question)).collect();
    let answers = join_all(questions.iter().map(|question| service.ask(question))).await;
    let mut ids = Vec::new();
    for answer in answers {
        let id = answer?.id;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    match ids.len() {
        1 => Ok(None),
        many => Err(format!("{many} approvals are open for one request")),
    }
}

/// Another value at `pointer` has to lead to another approval.
async fn bound(service: &Service, pointer: &str, value: Value) -> Kept {
    let question = service.question();
    let other = with(&again(&question), pointer, value);
    let one = service.ask(&question).await?;
    match sound(service.ask_raw(&other).await?) {
        Ok(two) if two.id == one.id => Err(format!(
            "`{}` is not what the approval is for",
            pointer.trim_start_matches('/').replace('/', ".")
        )),
        _ => Ok(None),
    }
}

async fn exchange_reuse(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    service.ask(&question).await?;
    let other = with(&question, "/digest", json!(random_digest()));
    service.expect_refusal(&other, "another request by the same exchange").await?;
    Ok(None)
}

async fn unknown_terms(service: &Service, _: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/conform_unknown", json!(true));
    service.expect_refusal(&question, "a member of `asks` that nobody knows").await?;
    Ok(None)
}

async fn malformed(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    for (pointer, value) in [
        ("/digest", json!("")),
        ("/digest", Value::Null),
        ("/exchange", json!("")),
        ("/requester", json!({})),
        ("/requester/subject", json!("")),
        ("/operations", json!([])),
        ("/asks/quorum", json!(0)),
        ("/asks/approvers", json!([])),
        ("/asks/expires_seconds", json!(0)),
        ("/asks/valid_seconds", json!(-1)),
    ] {
        let wrong = with(&again(&question), pointer, value.clone());
        let what = format!("`{}` of {value}", pointer.trim_start_matches('/').replace('/', "."));
        service.expect_refusal(&wrong, &what).await?;
    }
    let text = question.to_string();
    for (body, what) in [(String::new(), "no body"), (text[..text.len() / 2].to_owned(), "half a body")] {
        refused(&service.ask_text(body).await?, what)?;
    }
    Ok(None)
}

async fn preview(service: &Service, _: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/preview", json!("full"));
    let cut = with(&question, "/preview/truncated", json!(true));
    service.expect_refusal(&cut, "a cut preview where all has to be seen").await?;
    Ok(None)
}

async fn kinds(service: &Service, _: &Decider) -> Kept {
    let standing = with(&service.question(), "/asks/grant_seconds", json!(60));
    service.expect_no_grant(&standing, "asked for a standing grant, with nobody deciding,").await?;
    let question = service.question();
    let past = with(&question, "/asks/break_glass", json!({"reason": "conformance"}));
    let reply = service.ask_raw(&past).await?;
    if let Ok(answer) = sound(reply) {
        let requester = (
            "https://conform.invalid".to_owned(),
            question["requester"]["subject"].as_str().unwrap_or_default().to_owned(),
        );
        if answer.status == "approved" && !answer.who("break_glass").contains(&requester) {
            return Err("past approvers it says `approved` without naming who went past them".to_owned());
        }
        let silent = with(&service.question(), "/asks/break_glass", json!({"reason": " "}));
        service.expect_refusal(&silent, "going past approvers without a reason").await?;
        return Ok(None);
    }
    Ok(Some("it has no way past approvers".to_owned()))
}

async fn wait(service: &Service, _: &Decider) -> Kept {
    let answer = service.ask_waiting(&service.question(), 2).await?;
    if answer.took > Duration::from_secs(4) {
        return Err(format!("asked to wait for 2 s it takes {:.1} s", answer.took.as_secs_f64()));
    }
    let note = "it does not wait: each request that is held asks it every half second";
    Ok((answer.took < Duration::from_secs(1)).then(|| note.to_owned()))
}

async fn withdraw(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    let id = service.ask(&question).await?.id;
    let forged = service.withdraw(&id, exchange(&question), false).await?;
    if !(400..500).contains(&forged) {
        return Err(format!("withdrawing without a token is answered with {forged}"));
    }
    service.expect(&question, "pending", "after a withdrawal without a token").await?;
    let status = service.withdraw(&id, exchange(&question), true).await?;
    if !(200..300).contains(&status) {
        return Err(format!("a withdrawal is answered with {status}"));
    }
    service.expect(&question, "cancelled", "withdrawn").await?;
    let other = service.question();
    service.ask(&other).await?;
    let status = service.withdraw_exchange(exchange(&other)).await?;
    if !(200..300).contains(&status) {
        return Err(format!("a withdrawal before the first answer is answered with {status}"));
    }
    service.expect(&other, "cancelled", "withdrawn before the first answer").await?;
    Ok(None)
}

async fn withdraw_shared(service: &Service, _: &Decider) -> Kept {
    let question = service.question();
    let other = again(&question);
    let id = service.ask(&question).await?.id;
    service.ask(&other).await?;
    service.withdraw(&id, exchange(&question), true).await?;
    service.expect(&other, "pending", "after another exchange was withdrawn").await?;
    service.expect(&question, "cancelled", "withdrawn while another exchange waits").await?;
    Ok(None)
}

async fn expiry(service: &Service, _: &Decider) -> Kept {
    let question = with(&service.question(), "/asks/expires_seconds", json!(2));
    let id = service.ask(&question).await?.id;
    let began = Instant::now();
    // Asking again and again, by old and new exchanges, must not move the end.
    while began.elapsed() < Duration::from_millis(1_500) {
        service.ask(&question).await?;
        service.ask(&again(&question)).await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(Duration::from_millis(3_200).saturating_sub(began.elapsed())).await;
    let answer = service.ask(&question).await?;
    match (answer.id == id, answer.status.as_str()) {
        (true, "expired") => Ok(None),
        (_, status) => Err(format!("1 s after its end it answers `{status}` instead of `expired`")),
    }
}

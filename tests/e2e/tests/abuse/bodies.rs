//! Bodies that come slowly, and are held meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use graphwarden_e2e::{Gate, THREAD};
use graphwarden_stand::{Ask, Person};
use serde_json::json;

use crate::{others_are_served, refused, told};

/// A run's body of half a megabyte.
fn body() -> Vec<u8> {
    let text = "words ".repeat(80_000);
    json!({"assistant_id": "support_agent", "input": {"text": text}}).to_string().into_bytes()
}

/// Of eight uploads that stop before their end two fit into one person's quarter of 4 MiB; the others are refused, everybody
/// else's requests are read, and what ends makes room again.
pub(crate) async fn slow_bodies_take_one_persons_part_and_no_more(gate: &Gate) -> Result<()> {
    let (body, path) = (body(), format!("/threads/{THREAD}/runs/wait"));
    let (most, rest) = body.split_at(body.len() - 100);
    let before = refused(gate, "gate_full").await?;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut upload = Ask::new("POST", &path)
            .bearer(&gate.token(Person::Analyst))
            .header("content-length", body.len().to_string())
            .open(gate.port())
            .await?;
        upload.write(most).await?;
        slow.push(upload);
    }
    let mut full = 0;
    let mut held = Vec::new();
    for mut upload in slow {
        match tokio::time::timeout(Duration::from_millis(700), upload.answer()).await {
            Ok(answer) => {
                let answer = answer?;
                ensure!(
                    told(&answer) == (503, "gate_full".to_owned()),
                    "{} {}",
                    answer.status,
                    answer.text()
                );
                full += 1;
            }
            Err(_) => held.push(upload),
        }
    }
    ensure!((full, held.len()) == (6, 2), "{full} were refused, {} are held", held.len());
    ensure!(refused(gate, "gate_full").await? == before + 6, "not counted");
    others_are_served(gate).await?;
    for mut upload in held {
        upload.write(rest).await?;
        upload.answer().await?.expect_status(200)?;
    }
    let again = Ask::new("POST", &path).body(body);
    gate.send(Person::Analyst, again).await?.expect_status(200)?;
    Ok(())
}

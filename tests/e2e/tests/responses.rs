//! What leaves: answers of every framing, masked without being held back.

use std::time::Duration;

use anyhow::ensure;
use graphwarden_e2e::{Gate, THREAD, expect_masked, expect_refusal};
use graphwarden_stand::{Act, Ask, Person, Reply, Site, Upstream, run};
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");
const RECORD: &[u8] = br#"{"name":"Zo\u00eb","email":"zoe.obrien@example.com","ssn":"078-05-1120","card":"4111 1111 1111 1111","n":1.50}"#;

fn read_thread() -> Ask {
    Ask::get(&format!("/threads/{THREAD}"))
}

#[test]
fn personal_data_is_masked_and_all_else_stays_byte_for_byte() {
    run("masked_json", async |site: &Site| {
        let upstream = Upstream::start(|_| Reply::whole(200, &[JSON, ("x-run", "7")], RECORD)).await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let answer = gate.send(Person::Analyst, read_thread()).await?;
        answer.expect_status(200)?;
        expect_masked("the answer", &answer.text())?;
        ensure!(answer.complete && answer.header("x-run").as_deref() == Some("7"), "{answer:?}");
        let text = answer.text();
        ensure!(
            text.starts_with(r#"{"name":"Zo\u00eb","email":""#) && text.ends_with(r#","n":1.50}"#),
            "{text}"
        );
        ensure!(answer.json()?["ssn"] == "[SSN]", "{text}");
        Ok(())
    });
}

#[test]
fn a_response_with_trailers_is_masked_to_its_end() {
    run("trailers", async |site: &Site| {
        // A value that only the end of the body completes: nothing but the trailers says that it has come.
        let upstream = Upstream::start(|_| {
            let parts: [&[u8]; 3] =
                [br#"{"note":"write to zoe.obr"#, b"ien@example.com", br#" or 078-05-1120"}"#];
            Reply::chunked(200, &[JSON], &parts, &[("x-checksum", "7")])
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let answer = gate.send(Person::Analyst, read_thread().header("te", "trailers")).await?;
        answer.expect_status(200)?;
        ensure!(answer.complete, "{answer:?}");
        expect_masked("the answer", &answer.text())?;
        let note = answer.json()?["note"].as_str().unwrap_or_default().to_owned();
        ensure!(note.starts_with("write to ") && note.contains(" or "), "{note}");

        let upstream = Upstream::start(|_| {
            let parts: [&[u8]; 2] = [b"data: {\"t\":\"call 078-05-", b"1120\"}\n\n"];
            Reply::chunked(200, &[("content-type", "text/event-stream")], &parts, &[("x-checksum", "7")])
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let answer = gate.send(Person::Analyst, read_thread()).await?;
        expect_masked("the stream", &answer.text())?;
        ensure!(answer.complete && answer.events().len() == 1, "{answer:?}");
        Ok(())
    });
}

#[test]
fn bodiless_answers_pass_as_they_are() {
    run("bodiless", async |site: &Site| {
        let upstream =
            Upstream::start(|seen| match (seen.method.as_str(), seen.header("x-want").as_deref()) {
                ("HEAD", _) => {
                    vec![
                        Act::Send(Reply::head(200, &[JSON, ("content-length", "1234")])),
                        Act::Send(b"\r\n".to_vec()),
                    ]
                }
                (_, Some("304")) => {
                    vec![Act::Send(Reply::head(304, &[("etag", "\"1\"")])), Act::Send(b"\r\n".to_vec())]
                }
                _ => vec![Act::Send(Reply::head(204, &[])), Act::Send(b"\r\n".to_vec())],
            })
            .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let answer = gate.send(Person::Analyst, Ask::new("HEAD", &format!("/threads/{THREAD}"))).await?;
        answer.expect_status(200)?;
        ensure!(answer.header("content-length").as_deref() == Some("1234"), "{answer:?}");
        gate.send(Person::Analyst, read_thread()).await?.expect_status(204)?;
        gate.send(Person::Analyst, read_thread().header("x-want", "304")).await?.expect_status(304)?;
        Ok(())
    });
}

#[test]
fn what_cannot_be_masked_does_not_leave() {
    run("unmaskable", async |site: &Site| {
        let upstream = Upstream::start(|seen| match seen.header("x-want").as_deref() {
            Some("gzip") => {
                Reply::whole(200, &[JSON, ("content-encoding", "gzip")], b"\x1f\x8b zoe.obrien@example.com")
            }
            Some("range") => Reply::whole(206, &[JSON, ("content-range", "bytes 10-60/99")], RECORD),
            Some("image") => {
                Reply::whole(200, &[("content-type", "image/png")], b"\x89PNG zoe.obrien@example.com")
            }
            _ => Reply::whole(200, &[], b"\x00\x01 zoe.obrien@example.com"),
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        for want in ["gzip", "range", "image", "untyped"] {
            let answer = gate.send(Person::Analyst, read_thread().header("x-want", want)).await?;
            expect_masked(want, &answer.text())?;
            if want != "untyped" {
                expect_refusal(&answer, 502, "response_unmaskable").map_err(|error| error.context(want))?;
            }
        }
        Ok(())
    });
}

#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    run("broken", async |site: &Site| {
        let upstream = Upstream::start(|seen| {
            let mut head = Reply::head(200, &[JSON]);
            if seen.header("x-want").as_deref() == Some("short") {
                head.extend_from_slice(b"content-length: 9000\r\n\r\n");
                head.extend_from_slice(RECORD);
                return vec![Act::Send(head), Act::Wait(Duration::from_millis(50)), Act::Close];
            }
            head.extend_from_slice(
                b"transfer-encoding: chunked\r\n\r\n1e\r\n{\"mail\":\"zoe.obrien@example.co",
            );
            vec![Act::Send(head), Act::Wait(Duration::from_millis(50)), Act::Reset]
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        for want in ["short", "reset"] {
            let answer = read_thread()
                .header("x-want", want)
                .bearer(&gate.token(Person::Analyst))
                .within(Duration::from_secs(10))
                .send(gate.port())
                .await;
            // Either the gate can still say 502, or the body visibly lacks its end.
            if let Ok(answer) = answer {
                ensure!(!answer.complete || answer.status >= 500, "{want}: {answer:?}");
                expect_masked(want, &answer.text())?;
            }
        }
        let outcomes = gate.outcomes(site, 2).await?;
        for line in &outcomes {
            ensure!(
                line["request"]["path"] != format!("/threads/{THREAD}")
                    || line["response"]["end"] != "complete",
                "{line}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_refusing_upstream_is_a_clear_error() {
    run("no_upstream", async |site: &Site| {
        let closed = graphwarden_stand::free_port()?;
        let gate = Gate::before(site, closed.number()).await?;
        let answer = gate.send(Person::Analyst, read_thread()).await?;
        ensure!((502..=504).contains(&answer.status), "{} {}", answer.status, answer.text());
        let outcomes = gate.outcomes(site, 1).await?;
        ensure!(outcomes.iter().any(|line| line["response"]["status"] == answer.status), "{outcomes:?}");
        Ok(())
    });
}

#[test]
fn a_stream_is_masked_event_by_event_and_not_held_back() {
    run("streaming", async |site: &Site| {
        let upstream = Upstream::start(|_| {
            let mut acts = vec![Act::Send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    .to_vec(),
            )];
            for index in 0..4 {
                let event = format!(
                    "event: updates\r\ndata: {}\r\n\r\n",
                    json!({"i": index, "mail": "zoe.obrien@example.com"})
                );
                acts.push(Act::Send(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()));
                acts.push(Act::Wait(Duration::from_millis(300)));
            }
            acts.push(Act::Send(b"0\r\n\r\n".to_vec()));
            acts
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let answer = gate.send(Person::Analyst, read_thread()).await?;
        answer.expect_status(200)?;
        expect_masked("the stream", &answer.text())?;
        let events = answer.events();
        ensure!(events.len() == 4 && answer.complete, "{events:?}");
        // Four events 300 ms apart: the first must be here long before the last.
        let (first, last) = (answer.arrivals.first(), answer.arrivals.last());
        let (Some((first, _)), Some((last, _))) = (first, last) else { anyhow::bail!("nothing arrived") };
        ensure!(*last - *first > Duration::from_millis(700), "all at once: {:?}", answer.arrivals);
        Ok(())
    });
}

#[test]
fn every_split_of_a_body_gives_the_same_masked_bytes() {
    run("splits", async |site: &Site| {
        let body = "{\"a\":\"é zoe.obrien@example.com \\u00e9\",\"ssn\":\"078-05-1120\",\"b\":[\"4111 1111 1111 1111\"]}";
        let upstream = Upstream::start(move |seen| {
            let at = seen.header("x-split").and_then(|at| at.parse().ok()).unwrap_or(0);
            let (one, two) = body.as_bytes().split_at(at);
            Reply::chunked(
                200,
                &[JSON],
                &[one, two].map(|part| if part.is_empty() { &b" "[..] } else { part }),
                &[],
            )
        })
        .await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let token = gate.token(Person::Analyst);
        let mut whole = None;
        for at in 0..=body.len() {
            let ask = read_thread().bearer(&token).header("x-split", at.to_string());
            let answer = ask.send(gate.port()).await?;
            expect_masked(&format!("split at {at}"), &answer.text())?;
            let text = answer.text().trim().to_owned();
            let expected = whole.get_or_insert_with(|| text.clone());
            ensure!(*expected == text, "split at {at}: {text}");
        }
        Ok(())
    });
}

//! What leaves: answers of every framing, masked without being held back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, Gate, THREAD, expect_masked, expect_refusal};
use graphwarden_stand::{Act, Answer, Ask, Person, Reply, Seen, Site, Upstream, run, wait_until};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream");
const RECORD: &[u8] =
    br#"{"name":"Zo\u00eb","email":"zoe.obrien@example.com","ssn":"078-05-1120","card":"4111 1111 1111 1111","n":1.50}"#;
const SPLIT: &str =
    "{\"a\":\"é zoe.obrien@example.com \\u00e9\",\"ssn\":\"078-05-1120\",\"b\":[\"4111 1111 1111 1111\"]}";

/// What the upstream sends for the header `script`.
fn script(seen: &Seen) -> Vec<Act> {
    let name = seen.header("script").unwrap_or_default();
    match name.as_str() {
        "record" => Reply::whole(200, &[JSON, ("x-run", "7")], RECORD),
        // Values that only the end of the body completes: nothing but the trailers says that it has come.
        "trailers" => {
            let parts: [&[u8]; 3] =
                [br#"{"note":"write to zoe.obr"#, b"ien@example.com", br#" or 078-05-1120"}"#];
            Reply::chunked(200, &[JSON], &parts, &[("x-checksum", "7")])
        }
        "stream with trailers" => {
            let parts: [&[u8]; 2] = [b"data: {\"t\":\"call 078-05-", b"1120\"}\n\n"];
            Reply::chunked(200, &[SSE], &parts, &[("x-checksum", "7")])
        }
        "head" => bare(200, &[JSON, ("content-length", "1234")]),
        "204" => bare(204, &[]),
        "304" => bare(304, &[("etag", "\"1\"")]),
        "gzip" => {
            Reply::whole(200, &[JSON, ("content-encoding", "gzip")], b"\x1f\x8b zoe.obrien@example.com")
        }
        "range" => Reply::whole(206, &[JSON, ("content-range", "bytes 10-60/99")], RECORD),
        "image" => Reply::whole(200, &[("content-type", "image/png")], b"\x89PNG zoe.obrien@example.com"),
        "untyped" => Reply::whole(200, &[], b"\x00\x01 zoe.obrien@example.com"),
        "short" => {
            let mut head = Reply::head(200, &[JSON, ("content-length", "9000")]);
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(RECORD);
            vec![Act::Send(head), Act::Wait(Duration::from_millis(50)), Act::Close]
        }
        "reset" => {
            let mut head = Reply::head(200, &[JSON, ("transfer-encoding", "chunked")]);
            head.extend_from_slice(b"\r\n1e\r\n{\"mail\":\"zoe.obrien@example.co");
            vec![Act::Send(head), Act::Wait(Duration::from_millis(50)), Act::Reset]
        }
        "slow stream" => slow_stream(),
        split => {
            let at = split.parse().unwrap_or(0);
            let (one, two) = SPLIT.as_bytes().split_at(at);
            // A chunk of length 0 would end the body.
            Reply::chunked(
                200,
                &[JSON],
                &[one, two].map(|part| if part.is_empty() { b" " } else { part }),
                &[],
            )
        }
    }
}

fn bare(status: u16, headers: &[(&str, &str)]) -> Vec<Act> {
    let mut head = Reply::head(status, headers);
    head.extend_from_slice(b"\r\n");
    vec![Act::Send(head)]
}

/// Four events, 300 ms apart.
fn slow_stream() -> Vec<Act> {
    let mut head = Reply::head(200, &[SSE, ("transfer-encoding", "chunked")]);
    head.extend_from_slice(b"\r\n");
    let mut acts = vec![Act::Send(head)];
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
}

async fn read(gate: &Gate, script: &str) -> Result<Answer> {
    let method = if script == "head" { "HEAD" } else { "GET" };
    let ask =
        Ask::new(method, &format!("/threads/{THREAD}")).header("script", script).header("te", "trailers");
    gate.send(Person::Analyst, ask).await
}

#[test]
fn every_kind_of_answer_is_masked_or_refused() {
    run("responses", async |site: &Site| {
        let upstream = Upstream::start(script).await?;
        let gate = Gate::before(site, upstream.port()).await?;
        let mut checks = Checks::default();
        checks.check("all but personal data stays byte for byte", stays_byte_for_byte(&gate)).await;
        checks.check("a response with trailers is masked to its end", masks_before_trailers(&gate)).await;
        checks.check("bodiless answers pass as they are", bodiless_answers_pass(&gate)).await;
        checks.check("what cannot be masked does not leave", unmaskable_stays(&gate)).await;
        checks.check("a stream is not held back", a_stream_flows(&gate)).await;
        checks.check("every split gives the same bytes", every_split_gives_the_same(&gate)).await;
        checks.check("an answer that breaks off is not made whole", broken_stays_broken(&gate, site)).await;
        checks.check("what was done is counted under labels", everything_is_counted(&gate)).await;
        checks.outcome()
    });
}

async fn stays_byte_for_byte(gate: &Gate) -> Result<()> {
    let answer = read(gate, "record").await?;
    answer.expect_status(200)?;
    expect_masked("the answer", &answer.text())?;
    ensure!(answer.complete && answer.header("x-run").as_deref() == Some("7"), "{answer:?}");
    let text = answer.text();
    ensure!(text.starts_with(r#"{"name":"Zo\u00eb","email":""#) && text.ends_with(r#","n":1.50}"#), "{text}");
    ensure!(answer.json()?["ssn"] == "[SSN]", "{text}");
    Ok(())
}

async fn masks_before_trailers(gate: &Gate) -> Result<()> {
    let answer = read(gate, "trailers").await?;
    answer.expect_status(200)?;
    ensure!(answer.complete, "{answer:?}");
    expect_masked("the answer", &answer.text())?;
    let note = answer.json()?["note"].as_str().unwrap_or_default().to_owned();
    ensure!(note.starts_with("write to ") && note.contains(" or "), "{note}");

    let answer = read(gate, "stream with trailers").await?;
    expect_masked("the stream", &answer.text())?;
    ensure!(answer.complete && answer.events().len() == 1, "{answer:?}");
    Ok(())
}

async fn bodiless_answers_pass(gate: &Gate) -> Result<()> {
    let answer = read(gate, "head").await?;
    answer.expect_status(200)?;
    ensure!(answer.header("content-length").as_deref() == Some("1234"), "{answer:?}");
    read(gate, "204").await?.expect_status(204)?;
    let answer = read(gate, "304").await?;
    answer.expect_status(304)?;
    ensure!(answer.header("etag").as_deref() == Some("\"1\""), "{answer:?}");
    Ok(())
}

async fn unmaskable_stays(gate: &Gate) -> Result<()> {
    for script in ["gzip", "range", "image", "untyped"] {
        let answer = read(gate, script).await?;
        expect_masked(script, &answer.text())?;
        if script != "untyped" {
            expect_refusal(&answer, 502, "response_unmaskable").context(script)?;
        }
    }
    Ok(())
}

async fn a_stream_flows(gate: &Gate) -> Result<()> {
    let answer = read(gate, "slow stream").await?;
    answer.expect_status(200)?;
    expect_masked("the stream", &answer.text())?;
    let events = answer.events();
    ensure!(events.len() == 4 && answer.complete, "{events:?}");
    // Four events 300 ms apart: the first must be here long before the last.
    let (first, last) = (answer.arrivals.first(), answer.arrivals.last());
    let (Some((first, _)), Some((last, _))) = (first, last) else { anyhow::bail!("nothing arrived") };
    ensure!(*last - *first > Duration::from_millis(700), "all at once: {:?}", answer.arrivals);
    Ok(())
}

async fn every_split_gives_the_same(gate: &Gate) -> Result<()> {
    let mut whole = None;
    for at in 0..=SPLIT.len() {
        let answer = read(gate, &at.to_string()).await?;
        expect_masked(&format!("split at {at}"), &answer.text())?;
        let text = answer.text().trim().to_owned();
        let expected = whole.get_or_insert_with(|| text.clone());
        ensure!(*expected == text, "split at {at}: {text}");
    }
    Ok(())
}

async fn broken_stays_broken(gate: &Gate, site: &Site) -> Result<()> {
    let path = format!("/threads/{THREAD}");
    let broken = || -> Result<usize> {
        let lines = gate.desk.export(site)?;
        let broken = |line: &&Value| line["request"]["path"] == path && line["response"]["end"] == "reset";
        Ok(lines.iter().filter(broken).count())
    };
    let before = broken()?;
    for script in ["short", "reset"] {
        // Either the gate can still say 502, or the body visibly lacks its end.
        if let Ok(answer) = read(gate, script).await {
            ensure!(!answer.complete || answer.status >= 500, "{script}: {answer:?}");
            expect_masked(script, &answer.text())?;
        }
    }
    wait_until("two records of an answer that broke off", Duration::from_secs(10), async || {
        broken().is_ok_and(|count| count >= before + 2)
    })
    .await
}

async fn everything_is_counted(gate: &Gate) -> Result<()> {
    Ask::get(&format!("/threads/{THREAD}")).send(gate.port()).await?.expect_status(401)?;
    let statistics = gate.envoy.prometheus().await?;
    for series in [
        r#"requests{graphwarden_decision="allow",graphwarden_reason="none"}"#,
        r#"requests{graphwarden_decision="deny",graphwarden_reason="token_missing"}"#,
        r#"masked{graphwarden_detector="email"}"#,
    ] {
        let series = format!("graphwarden_{series} ");
        let value = statistics.lines().find_map(|line| line.strip_prefix(series.as_str()));
        ensure!(
            value.is_some_and(|value| value != "0"),
            "{series}is {value:?} in {}",
            own_lines(&statistics)
        );
    }
    Ok(())
}

fn own_lines(statistics: &str) -> String {
    statistics.lines().filter(|line| line.contains("graphwarden_")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_refusing_upstream_is_a_clear_error() {
    run("no_upstream", async |site: &Site| {
        let closed = graphwarden_stand::free_port()?;
        let gate = Gate::before(site, closed.number()).await?;
        let answer = read(&gate, "record").await?;
        ensure!((502..=504).contains(&answer.status), "{} {}", answer.status, answer.text());
        // The other line is of the wait for keys.
        let outcomes = gate.outcomes(site, 2).await?;
        ensure!(outcomes.iter().any(|line| line["response"]["status"] == answer.status), "{outcomes:?}");
        Ok(())
    });
}

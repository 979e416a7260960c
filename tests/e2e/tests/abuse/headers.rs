//! Many headers, and large ones: Envoy's own limits (100 of them, 60 KiB in all) stand before the filter, in both directions.

use anyhow::{Result, ensure};
use graphwarden_e2e::{Gate, THREAD};
use graphwarden_stand::{Act, Ask, Person, Reply, Upstream};

use crate::{counted, others_are_served, please};

/// An answer with more headers than Envoy takes.
pub(crate) fn many() -> Vec<Act> {
    answer((0..300).map(|index| (format!("x-header-{index}"), "value".to_owned())).collect())
}

/// An answer with a header that is larger than Envoy takes.
pub(crate) fn huge() -> Vec<Act> {
    answer(vec![("x-header".to_owned(), "v".repeat(200_000))])
}

fn answer(headers: Vec<(String, String)>) -> Vec<Act> {
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Reply::whole(200, &pairs, b"{}")
}

/// What is within the limits is judged and forwarded, what is beyond them is not.
pub(crate) async fn headers_and_cookies_have_an_end(gate: &Gate, upstream: &Upstream) -> Result<()> {
    let read = || Ask::get(&format!("/threads/{THREAD}"));
    let with = |count: usize| (0..count).fold(read(), |ask, index| ask.header(&format!("x-h-{index}"), "v"));
    let before = counted(gate, "downstream_cx_http1_total", "").await?;
    ensure!(before > 0, "Envoy counts none");
    gate.send(Person::Analyst, with(80)).await?.expect_status(200)?;
    gate.send(Person::Analyst, read().header("cookie", "c=".to_owned() + &"v".repeat(40_000)))
        .await?
        .expect_status(200)?;
    upstream.forget();
    for ask in [
        with(300),
        read().header("cookie", "c=".to_owned() + &"v".repeat(100_000)),
        (0..200).fold(read(), |ask, index| ask.header("cookie", format!("c{index}=v"))),
        read().header("x-header", "v".repeat(1_000_000)),
    ] {
        let answer = gate.send(Person::Analyst, ask).await?;
        ensure!(answer.status == 431, "{} {}", answer.status, answer.text());
    }
    ensure!(upstream.seen().is_empty(), "{} went upstream", upstream.seen().len());
    ensure!(
        counted(gate, "envoy_http_downstream_rq_4xx", "").await? > 0
            || counted(gate, "envoy_http_downstream_rq_xx", "").await? > 0
    );
    for word in ["headers", "header"] {
        let answer = gate.send(Person::Analyst, please(word)).await?;
        ensure!((502..=503).contains(&answer.status), "{word}: {} {}", answer.status, answer.text());
    }
    others_are_served(gate).await
}

//! Ten thousand streams that are open at once: what each of them holds in Envoy's memory, idle and in the middle of a
//! value that is not decided yet, beside the same Envoy with the filter that does nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use graphwarden_stand::{Envoy, Filter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bench::{Bench, idle, memory};
use super::files;
use super::growth::add_line;
use super::work::Work;
use crate::results::{Row, Sheet};

/// Memory of a stream, in KiB.
const BAR: f64 = 64.0;
/// How many are being opened at once.
const AT_ONCE: usize = 64;
/// What is opened before memory is first looked at, so that what is made once is there.
const WARM: usize = 200;

/// Opens up to so many streams with each filter.
pub(super) fn measure(bench: &Bench, wanted: usize, sheet: &mut Sheet) -> Result<()> {
    let count = files::streams(wanted)?;
    let no_op = bench.no_op()?;
    for (variant, filter, nothing_held) in [
        ("no-op wasm", no_op, true),
        ("graphwarden", Filter::Graphwarden, true),
        ("graphwarden, in a value", Filter::Graphwarden, false),
    ] {
        let masked = matches!(filter, Filter::Graphwarden);
        let envoy = bench.envoy(variant, &bench.setup(filter, bench.policy()?))?;
        let mut points = Vec::new();
        let mut streams = open(bench, &envoy, WARM, nothing_held, masked)?;
        let before = memory(&envoy)?;
        for step in [count / 4, count / 2, count] {
            streams.extend(open(bench, &envoy, step - (streams.len() - WARM), nothing_held, masked)?);
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            points.push((step as f64, memory(&envoy)? - before));
        }
        let (opened, held) = points.last().copied().context("no point")?;
        let work = format!("{count} open streams");
        let row = Row::once(variant, &work, "memory of each", "KiB", held / opened)?.over(opened);
        sheet.add(if masked { row.at_most(BAR) } else { row });
        add_line(variant, "memory", ("KiB", "each further stream", 1.0), true, &points, sheet)?;
        let idle_cost = idle(&envoy)?;
        let row = Row::once(variant, &work, "processor time while nothing happens", "ms/s", idle_cost)?
            .over(opened);
        sheet.add(row);
        // What a stream leaves behind would show as growth when as many are opened again.
        drop(streams);
        std::thread::sleep(Duration::from_millis(1500));
        let streams = open(bench, &envoy, WARM + count, nothing_held, masked)?;
        let again = memory(&envoy)? - before;
        drop(streams);
        let row = Row::once(variant, "as many again", "memory, of the first time", "", again / held)?;
        sheet.add(if masked { row.at_most(1.1) } else { row });
    }
    Ok(())
}

/// Opens streams, each answered with a 200 and what it says at first.
fn open(bench: &Bench, envoy: &Envoy, count: usize, idle: bool, masked: bool) -> Result<Vec<TcpStream>> {
    let request = Work::Open { idle }.request(&bench.token);
    let port = envoy.port();
    let streams = bench.runtime.block_on(
        futures::stream::iter(0..count)
            .map(|_| one(port, &request, idle, masked))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>(),
    );
    let streams = streams.into_iter().collect::<Result<Vec<_>>>()?;
    // What was read may still be on its way through Envoy's buffers.
    std::thread::sleep(Duration::from_millis(500));
    Ok(streams)
}

async fn one(port: u16, request: &[u8], idle: bool, masked: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
    stream.write_all(request).await?;
    let mut read = Vec::with_capacity(1024);
    // The gate passes on what is decided: an event whose text ends in what may become a value waits for the next one.
    let (shown, hidden): (&[u8], &[u8]) = match (idle, masked) {
        (true, _) => (b"and so", b"\0"),
        (false, true) => (b"\r\n\r\n", b"zoe.obr"),
        (false, false) => (b"zoe.obr", b"\0"),
    };
    let reading = async {
        while memchr::memmem::find(&read, shown).is_none() {
            ensure!(stream.read_buf(&mut read).await? > 0, "a stream ended");
        }
        anyhow::Ok(())
    };
    let came = tokio::time::timeout(Duration::from_secs(30), reading).await;
    let text = String::from_utf8_lossy(&read);
    came.with_context(|| format!("a stream said only: {text}"))??;
    ensure!(text.starts_with("HTTP/1.1 200"), "answered {text}");
    ensure!(memchr::memmem::find(&read, hidden).is_none(), "a value is shown before it is decided: {text}");
    Ok(stream)
}

//! The program killed with SIGKILL while gateways hand in evidence: what it acknowledged is there afterwards.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use graphwarden_policies::evidence::{Chain, Kind, Record, Succession};

const TOKEN: &str = "gateway-token-for-tests";

struct Desk {
    child: Child,
}

impl Desk {
    async fn start(database: &std::path::Path, port: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--database"])
            .arg(database)
            .env("GRAPHWARDEN_TOKEN", TOKEN)
            .env("GRAPHWARDEN_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let desk = Self { child };
        for _ in 0..400 {
            if let Ok(reply) = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await
                && reply.status().is_success()
            {
                return desk;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the desk did not become ready");
    }

    /// SIGKILL: nothing is flushed, nothing is closed.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// One gateway: hands in small batches until told to stop, and returns what was acknowledged.
async fn gateway(port: u16, name: String, stop: Arc<AtomicBool>) -> Vec<Vec<u8>> {
    let client = reqwest::Client::new();
    let mut chain = Chain::new(name);
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<Vec<u8>> = (0..7)
            .map(|index| {
                chain.seal(&Record::new(Kind::Outcome, &format!("x{index}"), "gate", 1)).unwrap().bytes
            })
            .collect();
        let reply = client
            .post(format!("http://127.0.0.1:{port}/v1/evidence"))
            .bearer_auth(TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(batch.join(&b'\n'))
            .send()
            .await;
        match reply {
            Ok(reply) if reply.status().is_success() => acknowledged.extend(batch),
            // The desk is gone; whether it took the batch is not known.
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_lines_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("desk.db");
    let mut all: Vec<Vec<u8>> = Vec::new();
    for round in 0..6_u64 {
        let port = graphwarden_stand::free_port().unwrap();
        let desk = Desk::start(&database, port.number()).await;
        let stop = Arc::new(AtomicBool::new(false));
        let gateways: Vec<_> = (0..4)
            .map(|gate| tokio::spawn(gateway(port.number(), format!("r{round}g{gate}"), Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + round * 70)).await;
        desk.kill();
        stop.store(true, Ordering::Relaxed);
        for gateway in gateways {
            all.extend(gateway.await.unwrap());
        }
        let output = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
            .args(["export", "--database"])
            .arg(&database)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kept: Vec<&[u8]> =
            output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let set: std::collections::HashSet<&[u8]> = kept.iter().copied().collect();
        let lost = all.iter().filter(|line| !set.contains(line.as_slice())).count();
        assert_eq!(lost, 0, "of {} acknowledged lines", all.len());
        // Whatever is there is whole: every chain follows from its start, the desk's own too.
        let mut chains = std::collections::HashMap::new();
        for line in kept {
            let name = serde_json::from_slice::<serde_json::Value>(line).unwrap()["chain"]
                .as_str()
                .unwrap()
                .to_owned();
            chains.entry(name.clone()).or_insert_with(|| Succession::from_start(&name)).accept(line).unwrap();
        }
    }
    assert!(all.len() > 100, "only {} lines were acknowledged", all.len());
}

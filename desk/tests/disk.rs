//! A disk that is full, or has become read-only: the desk refuses what it cannot keep, says so, goes on by itself once
//! there is room, and has lost nothing. The same where it is the log that finds no room.
//!
//! The limit on the size of files (`RLIMIT_FSIZE`, with its signal ignored) makes every write fail that would make a
//! file longer, as a full disk does, and at zero every write at all. Where a file system can be mounted (as root), a
//! real full one and a real read-only one are tried too.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use graphwarden_policies::evidence::{Chain, Kind, Record};

const TOKEN: &str = "gateway-token-for-tests";

/// The desk as a child whose writes can be made to fail; it ends with the test.
struct Desk {
    child: Child,
    port: u16,
    _port: graphwarden_stand::Port,
}

impl Desk {
    fn spawn(database: &Path) -> Self {
        Self::spawn_logging(database, "off", Stdio::piped())
    }

    /// `level` is what is logged, to `log`.
    fn spawn_logging(database: &Path, level: &str, log: Stdio) -> Self {
        let port = graphwarden_stand::free_port().unwrap();
        let number = port.number();
        // A write past the limit is an error then, instead of the end of the program.
        let child = Command::new("/bin/sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_graphwarden")])
            .args(["serve", "--listen", &format!("127.0.0.1:{number}"), "--database"])
            .arg(database)
            .env("GRAPHWARDEN_TOKEN", TOKEN)
            .env("GRAPHWARDEN_LOG", level)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port: number, _port: port }
    }

    async fn start(database: &Path) -> Self {
        Self::spawn(database).until_ready().await
    }

    async fn until_ready(self) -> Self {
        for _ in 0..400 {
            if self.is_ready().await {
                return self;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the desk did not become ready");
    }

    async fn is_ready(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Where a batch did not fit, a few small entries still may.
    async fn becomes_unready(&self) {
        for _ in 0..50 {
            if !self.is_ready().await {
                return;
            }
            // What was refused is refused again, and the desk doubts itself anew.
            let mut chain = Chain::new("doubt".into());
            let mut record = Record::new(Kind::Outcome, "x", "gate", 1);
            record.request_id = Some("y".repeat(200_000));
            assert_eq!(self.hand_in(&[chain.seal(&record).unwrap().bytes]).await, 503);
        }
        panic!("it says that it is ready and is not");
    }

    /// Hands lines in; the status, if the desk answers.
    async fn hand_in(&self, lines: &[Vec<u8>]) -> u16 {
        let answer = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/v1/evidence", self.port))
            .bearer_auth(TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(lines.join(&b'\n'))
            .send()
            .await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// From now on no file of the desk's may become longer than so many bytes.
    fn limit_files(&self, bytes: &str) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={bytes}:unlimited")])
            .status()
            .unwrap();
        assert!(status.success(), "prlimit: {status}");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Batches of one chain, large enough to fill something.
struct Gateway(Chain);

impl Gateway {
    fn batch(&mut self) -> Vec<Vec<u8>> {
        (0..20)
            .map(|index| {
                let mut record = Record::new(Kind::Outcome, &format!("x{index}"), "gate", 1);
                record.request_id = Some("y".repeat(8_000));
                self.0.seal(&record).unwrap().bytes
            })
            .collect()
    }
}

/// Every line of the ledger, as `export` prints it.
fn ledger(database: &Path) -> Vec<Vec<u8>> {
    let output = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
        .args(["export", "--database"])
        .arg(database)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Hands in until the desk refuses; the batch that it refused is handed in again once `mend` has given it room.
async fn fills_up_refuses_and_goes_on(desk: Desk, database: &Path, mend: impl FnOnce(&Desk)) {
    let mut gateway = Gateway(Chain::new("one".into()));
    let mut acknowledged = Vec::new();
    let refused = loop {
        let batch = gateway.batch();
        match desk.hand_in(&batch).await {
            200 => acknowledged.extend(batch),
            status => {
                assert_eq!(status, 503, "a refusal that says: try again");
                break batch;
            }
        }
        assert!(acknowledged.len() < 20_000, "it never filled up");
    };
    for _ in 0..3 {
        assert_eq!(desk.hand_in(&refused).await, 503, "it goes on refusing");
    }
    desk.becomes_unready().await;
    mend(&desk);
    // The same lines again, as a gateway sends them, and then the next: nobody starts the desk anew.
    assert_eq!(desk.hand_in(&refused).await, 200, "it goes on by itself");
    acknowledged.extend(refused);
    assert!(desk.is_ready().await);
    let next = gateway.batch();
    assert_eq!(desk.hand_in(&next).await, 200);
    acknowledged.extend(next);
    drop(desk);
    let desk = Desk::start(database).await;
    let last = gateway.batch();
    assert_eq!(desk.hand_in(&last).await, 200, "and so does one that is started anew");
    acknowledged.extend(last);
    let kept: Vec<Vec<u8>> = ledger(database)
        .into_iter()
        .filter(|line| line.windows(13).any(|part| part == b"\"chain\":\"one\""))
        .collect();
    assert_eq!(kept.len(), acknowledged.len());
    assert!(kept == acknowledged, "every line that was acknowledged is there, once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_grow_refuse_work_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("desk.db");
    let desk = Desk::start(&database).await;
    desk.limit_files("3000000");
    fills_up_refuses_and_goes_on(desk, &database, |desk| desk.limit_files("unlimited")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_write_at_all_refuses_work_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("desk.db");
    let desk = Desk::start(&database).await;
    let mut gateway = Gateway(Chain::new("one".into()));
    let first = gateway.batch();
    assert_eq!(desk.hand_in(&first).await, 200);
    desk.limit_files("0");
    let refused = gateway.batch();
    for _ in 0..3 {
        assert_eq!(desk.hand_in(&refused).await, 503);
    }
    desk.becomes_unready().await;
    desk.limit_files("unlimited");
    assert_eq!(desk.hand_in(&refused).await, 200, "it goes on by itself");
    assert!(desk.is_ready().await);
    drop(desk);
    let kept: Vec<Vec<u8>> = ledger(&database)
        .into_iter()
        .filter(|line| line.windows(13).any(|part| part == b"\"chain\":\"one\""))
        .collect();
    assert!(kept == [first, refused].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("desk.db");
    // Its every write fails for want of room.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let desk = Desk::spawn_logging(&database, "debug", full.into()).until_ready().await;
    desk.limit_files("3000000");
    fills_up_refuses_and_goes_on(desk, &database, |desk| desk.limit_files("unlimited")).await;
}

/// A file system of so many bytes in a directory; `None` where this user may not mount one.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Some(Self(directory)),
            _ => {
                eprintln!("left out: no file system can be mounted here");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(status.success(), "remount {options}: {status}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_work_and_loses_nothing() {
    let Some(disk) = Mounted::tmpfs("4m") else { return };
    let database = disk.0.path().join("desk.db");
    let desk = Desk::start(&database).await;
    fills_up_refuses_and_goes_on(desk, &database, |_| disk.remount("size=64m")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_refuses_to_serve_and_loses_nothing() {
    let Some(disk) = Mounted::tmpfs("32m") else { return };
    let database = disk.0.path().join("desk.db");
    let mut gateway = Gateway(Chain::new("one".into()));
    let lines = gateway.batch();
    {
        let desk = Desk::start(&database).await;
        assert_eq!(desk.hand_in(&lines).await, 200);
    }
    disk.remount("ro");
    let mut desk = Desk::spawn(&database);
    for _ in 0..200 {
        if desk.child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(!desk.is_ready().await, "it would serve what it cannot write");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(desk);
    disk.remount("rw");
    let desk = Desk::start(&database).await;
    let next = gateway.batch();
    assert_eq!(desk.hand_in(&next).await, 200);
    let kept: Vec<Vec<u8>> = ledger(&database)
        .into_iter()
        .filter(|line| line.windows(13).any(|part| part == b"\"chain\":\"one\""))
        .collect();
    assert!(kept == [lines, next].concat());
}

//! A child process that cannot be left behind.
//!
//! Each part runs in a process group of its own, led by a small shell that waits for it and holds
//! the read end of a pipe whose other end is ours. Dropping the [`Part`] ends the group by its id;
//! should this process die without dropping anything, the pipe closes and the shell ends the group.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// Waits for the part (`$@`) and, in the background, for the end of our pipe (descriptor 3). A write past the limit on
/// the size of files is an error to the part, instead of its end.
const KEEPER: &str = r#"
trap '' XFSZ
exec 3<&0 </dev/null
"$@" 3<&- &
part=$!
{ read -r _ <&3; kill -TERM 0; sleep 2; kill -KILL 0; } 2>/dev/null >&2 &
keeper=$!
exec 3<&-
trap : TERM INT
wait $part; code=$?
while kill -0 $part 2>/dev/null; do wait $part; code=$?; done
kill -KILL $keeper 2>/dev/null
exit $code
"#;

/// Ticks of `/proc/PID/stat`: USER_HZ, which is 100 on every Linux of today.
const TICKS_A_SECOND: f64 = 100.0;

/// A running part.
#[derive(Debug)]
pub struct Part {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts the command with its output in `FOLDER/NAME.log`.
    pub fn start(name: &str, folder: &Path, command: &Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot share a log")?;
        let mut keeper = Command::new("/bin/sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        if let Some(place) = command.get_current_dir() {
            keeper.current_dir(place);
        }
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        let child = keeper.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The path of the log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Everything in the log so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The exit status, when the part has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the probe says yes. An error holds the end of the log and its path, and comes at
    /// once when the part ends instead.
    pub async fn ready<Probe>(&mut self, limit: Duration, mut probe: Probe) -> Result<()>
    where
        Probe: AsyncFnMut() -> bool,
    {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Err(self.failure(&format!("ended with {status} before it was ready")));
            }
            if probe().await {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(self.failure(&format!("was not ready within {limit:?}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the part ends by itself.
    pub async fn exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(self.failure(&format!("still runs after {limit:?}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An error about this part, with the end of its log.
    fn failure(&self, what: &str) -> anyhow::Error {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n  ");
        anyhow!("{} {what}; log: {}\n  {tail}", self.name, self.log.display())
    }

    /// Asks the part to end and waits for it; after `grace` it is killed.
    pub fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // The group may outlive its leader, so it is killed in any case.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Kills the part without asking, as a crash would.
    pub fn kill(&mut self) {
        self.stop(Duration::ZERO);
    }

    /// Processor time that the part and its children have used so far; `None` where the kernel
    /// does not tell by `/proc`.
    #[must_use]
    pub fn processor_time(&self) -> Option<Duration> {
        if let Some(time) = self.scheduled() {
            return Some(time);
        }
        // proc_pid_stat(5): utime and stime are fields 14 and 15, in ticks.
        let ticks: u64 =
            self.group_stats()?.iter().filter_map(|stat| Some(stat.get(11)? + stat.get(12)?)).sum();
        Some(Duration::from_secs_f64(f64::from(u32::try_from(ticks).ok()?) / TICKS_A_SECOND))
    }

    /// The same to the nanosecond, for parts whose threads stay; `None` where the kernel keeps no such statistics.
    fn scheduled(&self) -> Option<Duration> {
        let mut nanoseconds = 0;
        for process in self.group()? {
            for thread in fs::read_dir(process.join("task")).ok()?.flatten() {
                let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
            }
        }
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    /// Resident memory of the part and its children in MiB; `None` where `/proc` does not tell.
    #[must_use]
    pub fn memory_mib(&self) -> Option<u64> {
        Some(self.memory()? / (1024 * 1024))
    }

    /// The same in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let pages: u64 = self.group_stats()?.iter().filter_map(|stat| stat.get(21)).sum();
        Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
    }

    /// Stops the part in the middle of whatever it does: it answers nobody and keeps its connections.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a part that was stopped go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The ids of the part's processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let names = self.group().unwrap_or_default();
        names.iter().filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
    }

    /// The numbers of `/proc/PID/stat` from field 3 on, for each process of the group.
    fn group_stats(&self) -> Option<Vec<Vec<u64>>> {
        Some(self.group()?.iter().filter_map(|process| numbers(process)).collect())
    }

    /// `/proc/PID` of each process of the group.
    fn group(&self) -> Option<Vec<PathBuf>> {
        let group = u64::from(self.child.id());
        let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
        let is_ours = |process: &PathBuf| numbers(process).is_some_and(|stat| stat.get(2) == Some(&group));
        Some(processes.filter(is_ours).collect())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(2));
    }
}

/// The numbers of a process's `stat` from field 3 on.
fn numbers(process: &Path) -> Option<Vec<u64>> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    // The name in field 2 may hold anything, so counting starts behind its last parenthesis.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Polls until the condition holds, for effects that come a moment later.
pub async fn wait_until<Condition>(what: &str, limit: Duration, mut condition: Condition) -> Result<()>
where
    Condition: AsyncFnMut() -> bool,
{
    let until = Instant::now() + limit;
    while !condition().await {
        if Instant::now() > until {
            bail!("{what}: not within {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

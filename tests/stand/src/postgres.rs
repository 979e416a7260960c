//! A PostgreSQL server of one's own: the one that Debian packages, on a Unix socket in a temporary folder.
//!
//! It is left out where it is not installed, unless `CI` is set: then that is an error. PostgreSQL refuses to
//! run as root, so for root it runs as `postgres`, the user that the package brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::part::Part;

/// The name of the database user; local connections need no password.
const USER: &str = "graphwarden";

/// Runs the server (`$@` after the folder) and removes the folder after it.
const KEEPER: &str = r#"
folder=$1; shift
"$@" &
server=$!
trap 'kill -QUIT $server' TERM INT
wait $server
while kill -0 $server 2>/dev/null; do wait $server; done
cd /; setsid rm -rf "$folder"
"#;

/// The running server; dropped, it stops and its files go.
#[derive(Debug)]
pub struct Postgres {
    part: Part,
    programs: PathBuf,
    folder: PathBuf,
    owner: Option<Owner>,
    databases: AtomicU32,
}

/// Whom the server runs as, where we are root.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Postgres {
    /// Starts a server with nothing in it. `None`, and a line that says so, where none is installed.
    pub async fn start() -> Result<Option<Self>> {
        let Some(programs) = programs() else {
            ensure!(
                std::env::var_os("CI").is_none(),
                "PostgreSQL is not installed (apt-get install postgresql), and with CI set nothing is left out"
            );
            eprintln!("left out: PostgreSQL is not installed (apt-get install postgresql)");
            return Ok(None);
        };
        let owner = owner()?;
        let folder = std::env::temp_dir().join(format!("graphwarden-pg-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        if let Some(Owner { user, group }) = owner {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))
                .context("cannot hand over a folder")?;
        }
        let data = folder.join("data");
        let made = as_owner(owner, &programs.join("initdb"), &folder)
            .arg("-D")
            .arg(&data)
            .args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .context("cannot run initdb")?;
        if !made.status.success() {
            bail!("initdb: {} {}", made.status, String::from_utf8_lossy(&made.stderr));
        }
        // The shell outlives the server and removes what it leaves, also where the test was killed.
        let mut command = as_owner(owner, Path::new("/bin/sh"), &folder);
        command.args(["-c", KEEPER, "keeper"]).arg(&folder).arg(programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-c", "listen_addresses="]);
        // A killed desk is what is tested here, not a killed machine. The rest keeps a killed test from leaving
        // shared memory behind.
        for setting in ["fsync=off", "dynamic_shared_memory_type=mmap", "max_connections=100"] {
            command.args(["-c", setting]);
        }
        let part = Part::start("postgres", &folder, &command)?;
        let mut server = Self { part, programs, folder, owner, databases: AtomicU32::new(0) };
        let probe = server.psql_command("postgres", "SELECT 1");
        server
            .part
            .ready(Duration::from_secs(30), async || {
                let mut probe = command_again(&probe);
                probe.output().is_ok_and(|output| output.status.success())
            })
            .await?;
        Ok(Some(server))
    }

    /// A new, empty database; its URL.
    pub fn database(&self) -> Result<String> {
        let name = format!("desk{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://{USER}@localhost/{name}?host={}", self.folder.display()))
    }

    /// A copy of a database, as a backup makes it; its URL. Nothing may be connected while it is made, so those
    /// who are will have to connect again.
    pub fn copy_of(&self, database: &str) -> Result<String> {
        let name = format!("{database}copy{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let allow = |allow: bool| {
            self.psql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allow}"))
        };
        let disconnect = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        );
        allow(false)?;
        self.psql("postgres", &disconnect)?;
        let made = self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {database}"));
        allow(true)?;
        made?;
        Ok(format!("postgres://{USER}@localhost/{name}?host={}", self.folder.display()))
    }

    /// Runs SQL in a database of this server, as its owner would by hand; what it prints.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let output = self.psql_command(database, sql).output().context("cannot run psql")?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn psql_command(&self, database: &str, sql: &str) -> Command {
        let mut command = as_owner(self.owner, &self.programs.join("psql"), &self.folder);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database]);
        command.arg("-h").arg(&self.folder).args(["-c", sql]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its processes lead groups of their own, so it is asked; `immediate` does not wait for connections.
        let _ = as_owner(self.owner, &self.programs.join("pg_ctl"), &self.folder)
            .args(["stop", "-s", "-m", "immediate", "-D"])
            .arg(self.folder.join("data"))
            .output();
        self.part.stop(Duration::from_secs(5));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest server that is installed as Debian does, or of the one in `PATH`.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
        versions
            .flatten()
            .filter_map(|version| {
                let number: u32 = version.file_name().to_str()?.parse().ok()?;
                Some((number, version.path().join("bin")))
            })
            .filter(|(_, bin)| bin.join("postgres").is_file())
            .max()
            .map(|(_, bin)| bin)
    });
    let path = || std::env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &PathBuf| {
        ["postgres", "initdb", "pg_ctl", "psql"].iter().all(|name| folder.join(name).is_file())
    };
    debian.or_else(|| std::env::split_paths(&path()).find(has_all))
}

fn owner() -> Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("cannot read the list of users")?;
    let of = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some(Owner { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
        })
    };
    of("postgres")
        .or_else(|| of("nobody"))
        .map(Some)
        .context("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

fn as_owner(owner: Option<Owner>, program: &Path, folder: &Path) -> Command {
    let mut command = match owner {
        Some(Owner { user, group }) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    // Where we are may be closed to the other user.
    command.current_dir(folder).env("HOME", folder);
    command
}

fn command_again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        again.current_dir(folder);
    }
    again
}

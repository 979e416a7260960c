//! Ports that no other test takes, on a machine where many tests start many parts at once.
//!
//! Asking the kernel for port 0 and giving the port back leaves a gap in which another process may
//! get it. So each port is claimed by a lock on a file of its own, held for as long as the [`Port`]
//! lives, and only then probed. The range lies below the kernel's ephemeral ports.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;

const FIRST: u16 = 18_000;
const LAST: u16 = 31_999;

/// A TCP port on 127.0.0.1 that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked while the port is ours; `None` for a port that the user chose.
    _claim: Option<File>,
}

impl Port {
    /// A port that the user chose, checked to be free; the error names it in one line.
    pub fn fixed(number: u16) -> Result<Self> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, number))
            .map(|_| Self { number, _claim: None })
            .map_err(|error| anyhow::anyhow!("port {number} on 127.0.0.1 cannot be used: {error}"))
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Claims a free port.
pub fn free_port() -> Result<Port> {
    let claims = claims_folder()?;
    let mut random = rand::rng();
    for _ in 0..500 {
        let number = random.random_range(FIRST..=LAST);
        let claim = File::create(claims.join(number.to_string())).context("cannot write a port's claim")?;
        if claim.try_lock().is_err() {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
            return Ok(Port { number, _claim: Some(claim) });
        }
    }
    bail!("no free port between {FIRST} and {LAST} after 500 attempts")
}

/// Binds a listener for a part that lives in this process.
pub async fn bind(port: &Port) -> Result<tokio::net::TcpListener> {
    let number = port.number();
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, number))
        .await
        .with_context(|| format!("port {number} on 127.0.0.1 cannot be used"))
}

/// Shared by every checkout on this machine, as ports are.
fn claims_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join("graphwarden-ports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn gives_no_port_twice_while_it_is_held() {
        let held: Vec<Port> = (0..50).map(|_| free_port().expect("a free port")).collect();
        let numbers: BTreeSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
    }

    #[test]
    fn names_the_port_that_is_taken() {
        let port = free_port().expect("a free port");
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).expect("just probed");
        let error = Port::fixed(port.number()).expect_err("it is taken").to_string();
        assert!(error.contains(&port.number().to_string()), "{error}");
    }
}

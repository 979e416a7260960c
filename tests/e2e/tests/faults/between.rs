//! A wire between Envoy and a part of the gate, which can be made to fail where no real part can be.

use std::time::Duration;

use anyhow::Result;
use graphwarden_stand::{Port, bind, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// They come.
    Whole,
    /// They come late.
    Late(Duration),
    /// The first bytes come and nothing after them, and nothing ends.
    Begun,
    /// All but the last bytes come, and then the end.
    Cut,
}

/// The wire.
#[derive(Debug)]
pub(crate) struct Between {
    port: Port,
    wire: watch::Sender<Wire>,
    accepting: JoinHandle<()>,
}

impl Between {
    /// Leads to this port.
    pub(crate) async fn to(target: u16) -> Result<Self> {
        let port = free_port()?;
        let listener = bind(&port).await?;
        let (wire, seen) = watch::channel(Wire::Whole);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await {
                        relay(near, far, seen).await;
                    }
                });
            }
        });
        Ok(Self { port, wire, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on; connections on which something was kept back end.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(mut near: TcpStream, far: TcpStream, mut wire: watch::Receiver<Wire>) {
    let (mut far_in, mut far_out) = far.into_split();
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            count = near.read(&mut asked) => match count {
                Ok(count) if count > 0 => {
                    let Some(bytes) = asked.get(..count) else { return };
                    if far_out.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            count = far_in.read(&mut answered) => {
                let Ok(count) = count else { return };
                let Some(bytes) = answered.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
                let mode = *wire.borrow_and_update();
                let (sent, goes_on) = match mode {
                    Wire::Whole => (bytes, true),
                    Wire::Late(time) => {
                        tokio::time::sleep(time).await;
                        (bytes, true)
                    }
                    Wire::Begun => (bytes.get(..40).unwrap_or(bytes), false),
                    Wire::Cut => (bytes.get(..count - 5.min(count)).unwrap_or(bytes), false),
                };
                if near.write_all(sent).await.is_err() {
                    return;
                }
                if goes_on {
                    continue;
                }
                match mode {
                    Wire::Begun => {
                        let _ = wire.changed().await;
                    }
                    Wire::Cut | Wire::Whole | Wire::Late(_) => {}
                }
                return;
            }
        }
    }
}

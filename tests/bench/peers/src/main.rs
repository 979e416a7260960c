//! The servers that people put beside Envoy today, written as well as they can be: they decide and mask with the same
//! code as the filter, built for this machine, over gRPC on kept connections. Only `make bench-peers` builds them.
//!
//! One thread each, because in the benchmark they have a core at most, and a runtime of one thread serves a core best.

mod decide;
mod mask;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, ValueEnum};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessorServer;
use graphwarden_policies::policy::Policy;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// A server beside Envoy.
#[derive(Debug, Parser)]
struct Arguments {
    /// What it does
    role: Role,
    /// Port on 127.0.0.1
    port: u16,
    /// A policy as the filter has it, in JSON
    policy: PathBuf,
    /// The issuer's keys, a JWK Set; only for `authz`
    #[arg(long)]
    keys: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Verifies the token and decides (ext_authz)
    Authz,
    /// Masks JSON as it comes (ext_proc)
    Proc,
}

/// Bodies come whole where Envoy buffers them.
const LARGEST_MESSAGE: usize = 64 << 20;
/// So that a chunk of any size passes without waiting for a window to open.
const WINDOW: u32 = 8 << 20;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let document = std::fs::read(&arguments.policy).context("the policy")?;
    let policy = Policy::parse(&document, &|name| std::env::var(name).ok())
        .map_err(|problems| anyhow!("the policy: {problems}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
        let incoming = TcpListenerStream::new(listener);
        let mut server = Server::builder()
            .tcp_nodelay(true)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW);
        let router = match arguments.role {
            Role::Authz => {
                let keys =
                    std::fs::read(arguments.keys.context("`authz` wants --keys")?).context("the keys")?;
                server.add_service(AuthorizationServer::new(decide::Decider::new(policy, &keys)?))
            }
            Role::Proc => server.add_service(
                ExternalProcessorServer::new(mask::Processor::new(Arc::new(policy)))
                    .max_decoding_message_size(LARGEST_MESSAGE)
                    .max_encoding_message_size(LARGEST_MESSAGE),
            ),
        };
        router.serve_with_incoming(nodelay(incoming)).await.context("serving")
    })
}

/// `serve_with_incoming` leaves the sockets as they are.
fn nodelay(
    incoming: TcpListenerStream,
) -> impl futures::Stream<Item = std::io::Result<tokio::net::TcpStream>> {
    futures::StreamExt::map(incoming, |stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

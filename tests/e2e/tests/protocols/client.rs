//! One request over HTTP/1.1, HTTP/2 or HTTP/3, and what came back, in the same words.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, Bytes};
use graphwarden_stand::Ask as Raw;
use http::{HeaderMap, Request};

/// The versions that the gate is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
    Three,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Leaves once the first of the body has come.
    pub(crate) leaves: bool,
    /// Asks with an extended CONNECT (RFC 8441, RFC 9220) for a tunnel, although none is offered.
    pub(crate) tunnels: bool,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) complete: bool,
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    fn head(&self, port: u16) -> Result<Request<()>> {
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(format!("https://localhost:{port}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(())?)
    }

    fn trailers(&self) -> Result<HeaderMap> {
        let mut trailers = HeaderMap::new();
        for (name, value) in &self.trailers {
            trailers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        Ok(trailers)
    }

    /// Sends the request and reads what comes.
    pub(crate) async fn send(
        &self,
        version: Version,
        port: u16,
        authority: &rcgen::Certificate,
    ) -> Result<Got> {
        let sending = async {
            match version {
                Version::One => self.over_one(port).await,
                Version::Two => self.over_two(port).await,
                Version::Three => self.over_three(port, authority).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(30), sending)
            .await
            .with_context(|| format!("{} {}: no end", self.method, self.path))?
            .with_context(|| format!("{} {}", self.method, self.path))
    }

    async fn over_one(&self, port: u16) -> Result<Got> {
        let mut ask = Raw::new(&self.method, &self.path);
        for (name, value) in &self.headers {
            ask = ask.header(name, value);
        }
        let waits = self.headers.iter().any(|(name, _)| name == "expect");
        let mut talk = if self.trailers.is_empty() && !waits {
            if let Some(body) = &self.body {
                ask = ask.body(body.clone());
            }
            ask.open(port).await?
        } else {
            let mut talk = ask.header("transfer-encoding", "chunked").open(port).await?;
            if waits {
                talk.until("100 Continue", Duration::from_secs(10)).await?;
            }
            let body = self.body.clone().unwrap_or_default();
            let mut rest = format!("{:x}\r\n", body.len()).into_bytes();
            rest.extend_from_slice(&body);
            rest.extend_from_slice(b"\r\n0\r\n");
            for (name, value) in &self.trailers {
                rest.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            rest.extend_from_slice(b"\r\n");
            talk.write(&rest).await?;
            talk
        };
        if self.leaves {
            talk.until("data:", Duration::from_secs(10)).await?;
            return Ok(Got { status: 200, ..Got::default() });
        }
        let answer = talk.answer().await?;
        let map = |pairs: &[(String, Vec<u8>)]| -> Result<HeaderMap> {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append(
                    http::HeaderName::from_bytes(name.as_bytes())?,
                    http::HeaderValue::from_bytes(value)?,
                );
            }
            Ok(map)
        };
        Ok(Got {
            status: answer.status,
            headers: map(&answer.headers)?,
            trailers: map(&answer.trailers)?,
            complete: answer.complete,
            body: answer.body,
        })
    }

    async fn over_two(&self, port: u16) -> Result<Got> {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let (client, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let mut client = client.ready().await?;
        let ends = self.body.is_none() && self.trailers.is_empty();
        let mut head = self.head(port)?;
        if self.tunnels {
            head.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        }
        let (response, mut sending) = client.send_request(head, ends)?;
        if !ends {
            // Where the gate has answered already, the answer tells.
            let _ = sending
                .send_data(Bytes::from(self.body.clone().unwrap_or_default()), self.trailers.is_empty());
            if !self.trailers.is_empty() {
                let _ = sending.send_trailers(self.trailers()?);
            }
        }
        let (head, mut body) = response.await?.into_parts();
        let mut got = Got { status: head.status.as_u16(), headers: head.headers, ..Got::default() };
        got.complete = loop {
            match body.data().await {
                Some(Ok(chunk)) => {
                    let _ = body.flow_control().release_capacity(chunk.len());
                    got.body.extend_from_slice(&chunk);
                    if self.leaves {
                        sending.send_reset(h2::Reason::CANCEL);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        return Ok(got);
                    }
                }
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        if got.complete {
            match body.trailers().await {
                Ok(trailers) => got.trailers = trailers.unwrap_or_default(),
                Err(_) => got.complete = false,
            }
        }
        driver.abort();
        Ok(got)
    }

    async fn over_three(&self, port: u16, authority: &rcgen::Certificate) -> Result<Got> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
        let mut endpoint = quinn::Endpoint::client((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        // Not every machine's loopback takes what is to be segmented later.
        let mut transport = quinn::TransportConfig::default();
        transport.enable_segmentation_offload(false);
        config.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(config);
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        let connection = endpoint.connect(address, "localhost")?.await.context("no QUIC connection")?;
        let (mut driver, mut client) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
        let driving = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        let mut head = self.head(port)?;
        if self.tunnels {
            head.extensions_mut().insert(h3::ext::Protocol::WEB_TRANSPORT);
        }
        let mut stream = client.send_request(head).await?;
        if let Some(body) = &self.body {
            let _ = stream.send_data(Bytes::from(body.clone())).await;
        }
        if self.trailers.is_empty() {
            let _ = stream.finish().await;
        } else {
            let _ = stream.send_trailers(self.trailers()?).await;
            let _ = stream.finish().await;
        }
        let head = loop {
            let head = stream.recv_response().await?;
            if !head.status().is_informational() {
                break head;
            }
        };
        let mut got =
            Got { status: head.status().as_u16(), headers: head.headers().clone(), ..Got::default() };
        got.complete = loop {
            match stream.recv_data().await {
                Ok(Some(mut chunk)) => {
                    let bytes = chunk.copy_to_bytes(chunk.remaining());
                    got.body.extend_from_slice(&bytes);
                    if self.leaves {
                        connection.close(0_u32.into(), b"");
                        endpoint.wait_idle().await;
                        return Ok(got);
                    }
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if got.complete {
            match stream.recv_trailers().await {
                Ok(trailers) => got.trailers = trailers.unwrap_or_default(),
                Err(_) => got.complete = false,
            }
        }
        driving.abort();
        Ok(got)
    }
}

/// Whether it was the gate that ended a connection or a stream without an answer, and not the library that asks it.
pub(crate) fn broke_off(error: &anyhow::Error) -> bool {
    use h3::error::{ConnectionError, StreamError};

    let over_two = error.downcast_ref::<h2::Error>().is_some_and(|error| error.is_remote() || error.is_io());
    over_two
        || matches!(
            error.downcast_ref::<StreamError>(),
            Some(
                StreamError::RemoteTerminate { .. }
                    | StreamError::ConnectionError { 0: ConnectionError::Remote { .. }, .. }
            )
        )
}

/// Whether the gate offers extended CONNECT (RFC 8441) over HTTP/2.
pub(crate) async fn offers_extended_connect(port: u16) -> Result<bool> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await?;
    // The settings have come when something is answered.
    let request = Request::builder().uri("https://localhost/ok").body(())?;
    let (response, _) = client.send_request(request, true)?;
    let status = response.await?.status();
    ensure!(status.is_success(), "{status}");
    let offered = client.is_extended_connect_protocol_enabled();
    driver.abort();
    Ok(offered)
}

//! Addresses that nothing is sent to: a webhook's name may lead anywhere, and tomorrow elsewhere than today. So names are
//! resolved here, at every connection, and only public addresses are connected to; who wants to be told inside says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Resolves names to public addresses alone.
#[derive(Debug, Clone, Copy)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|found| is_public(found.ip()))
                .collect();
            if found.is_empty() {
                return Err("the name leads to no public address".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The client for a receiver: no redirects, no proxy of the environment, and inside addresses only where they are meant.
pub(super) fn client(internal: bool, timeout: std::time::Duration) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("graphwarden/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    let builder = if internal { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
    Ok(builder.build()?)
}

/// What is wrong with a receiver's URL; names are looked at when they are resolved.
pub(super) fn problem(url: &Url, internal: bool) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Some("it is not an http or https URL");
    }
    if internal {
        return None;
    }
    if url.scheme() != "https" {
        return Some("it has to be https; say `internal: true` for a receiver inside your own network");
    }
    let inside = match url.host() {
        Some(Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        None => true,
    };
    inside.then_some("it is an address inside; say `internal: true` for a receiver inside your own network")
}

/// Whether an address is on the public Internet (the IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // Mapped and compatible addresses, NAT64 and 6to4 lead to an IPv4 address.
        (0, 0) if (c, d, e) == (0, 0, 0) => f == 0xffff && inner(g, h),
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && inner(g, h),
        (0x2002, _) => inner(b, c),
        // Teredo, benchmarks, ORCHID, documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        // Global unicast is all of 2000::/3 that is left.
        _ => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "93.184.215.14",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2002:101:101::",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_address_inside_has_to_be_meant() {
        for text in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://localhost/",
            "https://x.localhost./",
            "https://2130706433/",
            "https://0x7f.1/",
            "http://hooks.example.com/",
            "https://[::ffff:169.254.169.254]/",
        ] {
            let url = Url::parse(text).unwrap();
            assert!(problem(&url, false).is_some(), "{text}");
            assert!(problem(&url, true).is_none(), "{text}");
        }
        assert!(problem(&Url::parse("https://hooks.example.com/x").unwrap(), false).is_none());
        assert!(problem(&Url::parse("ftp://hooks.example.com/x").unwrap(), true).is_some());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let client = client(false, std::time::Duration::from_secs(5)).unwrap();
        let error = format!("{:?}", client.post(url).send().await.unwrap_err());
        assert!(error.contains("no public address"), "{error}");
        let asked = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
        assert!(asked.is_err(), "it was connected to");
    }
}

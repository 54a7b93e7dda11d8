//! Which addresses may be connected to (F41): what a stranger's redirect or name may not make this node ask.
//!
//! http and https, no credentials in the address, no address of this machine, of its networks or of a cloud's metadata service, in any way
//! of writing it. The only exception are loopback endpoints that the configuration names, with host and port. Names are resolved once, by
//! the connection itself, and refused if any of their addresses is; so a name cannot mean one host when it is checked and another when it
//! is used.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why an address is not asked. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL.
    #[error("not a URL")]
    Url,
    /// Not http or https.
    #[error("the scheme is `{0}`, not http or https")]
    Scheme(String),
    /// User name or password in it.
    #[error("the URL has credentials in it")]
    Credentials,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// Of this machine, of a network that is not public, or of nobody.
    #[error("{0} is no public address")]
    NotPublic(IpAddr),
    /// Names that mean this machine by convention.
    #[error("the host `{0}` means this machine or its network")]
    LocalName(String),
}

/// What may be asked.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Scheme, host and port of loopback endpoints that the configuration names.
    local: BTreeSet<(String, String, u16)>,
}

impl Guard {
    /// With these endpoints of the configuration: those among them that are loopback may be asked, and nothing else that is.
    pub fn new<'a>(configured: impl IntoIterator<Item = &'a str>) -> Self {
        let urls = configured.into_iter().filter_map(|url| Url::parse(url).ok());
        Self { local: urls.filter(is_loopback).filter_map(|url| place(&url)).collect() }
    }

    /// Whether an address may be asked; `true` if it is one of the loopback endpoints.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, url: &Url) -> Result<bool, Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme(url.scheme().chars().take(16).collect()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refused::NoHost)?;
        if place(url).is_some_and(|place| self.local.contains(&place)) {
            return Ok(true);
        }
        match address(host) {
            Some(address) if !is_public(address) => Err(Refused::NotPublic(address)),
            Some(_) => Ok(false),
            None if is_local_name(host) => Err(Refused::LocalName(host.chars().take(64).collect())),
            None => Ok(false),
        }
    }
}

fn place(url: &Url) -> Option<(String, String, u16)> {
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// The host as an address. Decimal, octal and hexadecimal ways of writing one are addresses to the parser of URLs already.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    matches!(last, "localhost" | "local" | "internal" | "localdomain" | "home" | "lan" | "intranet") || !host.contains('.')
}

/// Whether an address is one that strangers are reached by.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let part = address.segments();
    // Addresses that carry one of the older kind are as public as that one: mapped, compatible, translated (64:ff9b::/96), 6to4.
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match part {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => part[5] == 0xffff && is_public_v4(inner(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => false,
        // Global unicast, and nothing else.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names to public addresses only.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(only_public(found)?.into_iter()) as Addrs)
        })
    }
}

/// All of them, or none: a name that leads to this machine as well is up to no good.
fn only_public(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    match found.iter().find(|address| !is_public(address.ip())) {
        Some(address) => Err(Refused::NotPublic(address.ip())),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, url: &str) -> Result<bool, Refused> {
        guard.check(&Url::parse(url).map_err(|_| Refused::Url)?)
    }

    #[test]
    fn this_machine_and_its_networks_are_refused_in_every_way_of_writing() {
        let guard = Guard::default();
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fc00::1]/",
            "http://[fd00:ec2::254]/",
            "http://[ff02::1]/",
            "http://[2001:db8::1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://192.0.0.192/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://240.0.0.1/",
        ] {
            assert!(matches!(check(&guard, url), Err(Refused::NotPublic(_))), "{url}: {:?}", check(&guard, url));
        }
        for url in
            ["http://localhost/", "http://LOCALHOST./", "http://metadata.google.internal/", "http://router.lan/", "http://redis:6379/"]
        {
            assert!(matches!(check(&guard, url), Err(Refused::LocalName(_))), "{url}");
        }
        assert!(matches!(check(&guard, "file:///etc/passwd"), Err(Refused::Scheme(_))));
        assert!(matches!(check(&guard, "gopher://example.com/"), Err(Refused::Scheme(_))));
        assert_eq!(check(&guard, "http://user@example.com/"), Err(Refused::Credentials));
        for url in ["https://arweave.net/", "http://1.1.1.1:1984/", "http://[2606:4700::1111]/", "http://[::ffff:1.1.1.1]/"] {
            assert_eq!(check(&guard, url), Ok(false), "{url}");
        }
    }

    #[test]
    fn only_the_loopback_endpoint_that_is_configured_is_an_exception() {
        let guard = Guard::new(["http://127.0.0.1:1984/", "http://localhost:4000", "https://arweave.net", "http://192.168.1.1:1984"]);
        assert_eq!(check(&guard, "http://127.0.0.1:1984/tx"), Ok(true));
        assert_eq!(check(&guard, "http://2130706433:1984/tx"), Ok(true), "the same place, written otherwise");
        assert_eq!(check(&guard, "http://localhost:4000/tx"), Ok(true));
        for url in ["http://127.0.0.1:1985/", "https://127.0.0.1:1984/", "http://127.0.0.2:1984/", "http://localhost:1984/"] {
            assert!(check(&guard, url).is_err(), "{url}");
        }
        assert!(check(&guard, "http://192.168.1.1:1984/").is_err(), "a private address is none, configured or not");
    }

    #[test]
    fn a_name_with_one_address_of_this_machine_is_refused_as_a_whole() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        assert_eq!(only_public(vec![at("1.1.1.1")]), Ok(vec![at("1.1.1.1")]));
        assert!(only_public(vec![at("1.1.1.1"), at("127.0.0.1")]).is_err());
    }

    #[tokio::test]
    async fn the_resolver_gives_no_address_of_this_machine() {
        use std::str::FromStr as _;
        // From the hosts file: no name server is asked.
        let found = PublicNames.resolve(Name::from_str("localhost").unwrap()).await;
        assert!(found.is_err());
    }
}

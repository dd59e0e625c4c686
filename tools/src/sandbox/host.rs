//! What a sandbox may reach: hosts by exact name and port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A host and a port, as granted and as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// In lower case, without a dot at the end and without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why}; give HOST:PORT, such as pypi.org:443");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("has no port from 1 to 65535"))?;
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(address)) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err(wrong("is not an address in brackets")),
            None => host.strip_suffix('.').unwrap_or(host),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !(host.chars().all(is_name) || host.parse::<IpAddr>().is_ok()) {
            return Err(wrong("is not a host's name; wildcards are not known"));
        }
        // Other spellings of an address (`::0001`) are the same host.
        let host = host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string());
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// A loopback of its own and nothing else.
    #[default]
    None,
    /// These hosts, through the filtering proxy.
    Hosts(Vec<HostPort>),
    /// The machine's own network, loopback and local network included.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(text.parse::<HostPort>().ok().map(|host| host.to_string()).as_deref(), expected, "{text}");
        };
        check("pypi.org:443", Some("pypi.org:443"));
        check("PyPI.org.:443", Some("pypi.org:443"));
        check("10.0.0.5:80", Some("10.0.0.5:80"));
        check("[::0001]:80", Some("[::1]:80"));
        for wrong in ["pypi.org", "pypi.org:0", "pypi.org:x", "*.org:443", ":443", "a b:1", "[::1:80", "http://a:80", "a/b:80", "a@b:80"] {
            check(wrong, None);
        }
    }
}

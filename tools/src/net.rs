//! Which addresses are the public network's. Deliberately not here: names and connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not the public network's, as (network, bits): the IANA special-purpose registry (RFC 6890), multicast,
/// and the one public address that a cloud gives to its own services.
const SPECIAL_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT; one cloud's metadata is in it
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's services for its guests
    ([169, 254, 0, 0], 16),   // link-local; most clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; another cloud's metadata
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

/// IPv6 networks inside global unicast (2000::/3) that are not the public network's, as (first two groups, bits).
const SPECIAL_V6: [([u16; 2], u32); 6] = [
    ([0x2001, 0], 23),     // protocol assignments, among them Teredo, which holds an IPv4 address
    ([0x2001, 0xdb8], 32), // documentation
    ([0x2002, 0], 16),     // 6to4, which holds an IPv4 address
    ([0x2620, 0x4f], 32),  // AS112 is a /48 in it
    ([0x3ffe, 0], 16),     // the old 6bone
    ([0x3fff, 0], 20),     // documentation
];

/// Whether `address` is one of the public network: not private, loopback, link-local, shared, multicast, reserved, nor a cloud's
/// metadata service, in any of the ways in which IPv6 writes an IPv4 address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !SPECIAL_V4.iter().any(|(network, length)| {
        let mask = u32::MAX << (32 - length);
        bits & mask == u32::from(Ipv4Addr::from(*network)) & mask
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let groups = address.segments();
    let last = || {
        let [a, b] = groups[6].to_be_bytes();
        let [c, d] = groups[7].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    // IPv4 behind a translator (RFC 6052) is as public as what it holds; so is a mapped one.
    if address.to_ipv4_mapped().is_some() || groups[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(last());
    }
    let bits = (u32::from(groups[0]) << 16) | u32::from(groups[1]);
    groups[0] >> 13 == 1
        && !SPECIAL_V6.iter().any(|([first, second], length)| {
            let mask = u32::MAX << (32 - length);
            bits & mask == ((u32::from(*first) << 16) | u32::from(*second)) & mask
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |public: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
            }
        };
        check(
            true,
            &["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.0.1", "100.128.0.1", "223.255.255.255"],
        );
        check(true, &["2606:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1", "64:ff9b::101:101"]);
        check(false, &["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1", "169.254.169.254"]);
        check(false, &["172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"]);
        check(false, &["198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"]);
        check(
            false,
            &["::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "fe80::1", "fc00::1"],
        );
        check(
            false,
            &["fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1"],
        );
        check(false, &["100::1", "3fff::1", "4000::1", "5f00::1"]);
    }
}

//! The networks that a token may be used from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::field::Rule;

/// An address range such as `10.0.0.0/8` or `2001:db8::/32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network(IpNet);

impl Network {
    /// A CIDR with no bits set beyond its prefix, or an address alone for that one host.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match net {
            // Addresses are compared in their own clothes, so a network in others would never match.
            Ok(net) if net.addr().to_canonical() != net.addr() => {
                Err("must be written as IPv4, such as 10.0.0.0/8".into())
            }
            Ok(net) if net.addr() == net.network() => Ok(Self(net)),
            Ok(net) => Err(format!(
                "must not set bits beyond its prefix: did you mean {}?",
                net.trunc()
            )),
            Err(_) => Err("must be a network such as 10.0.0.0/8 or 2001:db8::/32".into()),
        }
    }

    /// Is the address in it? An IPv4 address in IPv6's clothes counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_or_out() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "10.0.0.1", false),
            ("0.0.0.0/0", "10.0.0.1", true),
        ];
        for (network, address, expected) in table {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{address} in {network}"
            );
        }
    }

    #[test]
    fn malformed_networks_are_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "ten",
            "10.0.0/8",
            "2001:db8::/129",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}

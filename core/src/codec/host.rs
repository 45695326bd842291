//! Host addresses: 4 or 16 address bytes in network order, then the port as an i32.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of an IPv4 host.
pub(crate) const IPV4_HOST_BYTES: usize = 8;
/// Bytes of an IPv6 host.
pub(crate) const IPV6_HOST_BYTES: usize = 20;

/// A host as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedHost {
    bytes: [u8; IPV6_HOST_BYTES],
    length: u8,
}

impl EncodedHost {
    /// Encodes an address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut bytes = [0; IPV6_HOST_BYTES];
        let split = match address.ip() {
            IpAddr::V4(ip) => {
                bytes[..4].copy_from_slice(&ip.octets());
                4
            }
            IpAddr::V6(ip) => {
                bytes[..16].copy_from_slice(&ip.octets());
                16
            }
        };
        bytes[split..split + 4].copy_from_slice(&u32::from(address.port()).to_be_bytes());
        Self { bytes, length: split as u8 + 4 }
    }

    /// The stored bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The stored bytes of an IPv4 address.
    #[inline]
    pub(crate) fn as_ipv4(&self) -> Option<[u8; IPV4_HOST_BYTES]> {
        self.bytes.first_chunk().copied().filter(|_| !self.is_ipv6())
    }

    /// Whether the address is an IPv6 one.
    pub(crate) fn is_ipv6(&self) -> bool {
        usize::from(self.length) == IPV6_HOST_BYTES
    }
}

/// Decodes a host of 8 or 20 bytes; `None` for another length. Of the stored 32-bit port the lower
/// 16 bits count.
pub(crate) fn decode_host(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let port = u32::from_be_bytes(port.try_into().ok()?);
    let ip = match address.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, (port & 0xFFFF) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_back() {
        for text in ["192.168.1.10:50123", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let host = EncodedHost::new(address);
            assert_eq!(host.is_ipv6(), address.is_ipv6());
            assert_eq!(decode_host(host.as_bytes()), Some(address));
        }
        let host = EncodedHost::new("192.168.1.10:50123".parse().unwrap());
        assert_eq!(host.as_bytes(), [0xC0, 0xA8, 1, 10, 0, 0, 0xC3, 0xCB]);
        assert_eq!(decode_host(&[1, 2, 3]), None);
    }
}

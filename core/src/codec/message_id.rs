//! RocketMQ's `offsetMsgId`: store host, port and physical offset in upper-case hex.

use std::fmt::Write;
use std::net::SocketAddr;

use super::host::{EncodedHost, decode_host};
use crate::offset::PhysicalOffset;

/// Makes the id: 32 characters for an IPv4 host, 56 for IPv6.
pub(crate) fn offset_message_id(store_host: SocketAddr, offset: PhysicalOffset) -> String {
    let host = EncodedHost::new(store_host);
    let mut id = String::with_capacity(56);
    for byte in host.as_bytes().iter().chain(&offset.get().to_be_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02X}");
    }
    id
}

/// Takes an `offsetMsgId` apart into the store's host and the physical offset; `None` when it is
/// not one.
///
/// ```
/// let (host, offset) = cairnlog::decode_offset_message_id("0A00000100002A9F0000000000000000")
///     .ok_or("not an id")?;
/// assert_eq!(host.to_string(), "10.0.0.1:10911");
/// assert_eq!(offset.get(), 0);
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn decode_offset_message_id(id: &str) -> Option<(SocketAddr, PhysicalOffset)> {
    if !id.is_ascii() || !(id.len() == 32 || id.len() == 56) {
        return None;
    }
    let bytes: Vec<u8> = (0..id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(id.get(at..at + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    let (host, offset) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    let offset = i64::from_be_bytes(offset.try_into().ok()?);
    Some((decode_host(host)?, PhysicalOffset::from_i64(offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back() {
        for host in ["10.0.0.1:10911", "[2001:db8::7]:10911"] {
            let host: SocketAddr = host.parse().unwrap();
            let offset = PhysicalOffset::new(0x1234_5678_9ABC);
            let id = offset_message_id(host, offset);
            assert_eq!(id.len(), if host.is_ipv4() { 32 } else { 56 });
            assert_eq!(decode_offset_message_id(&id), Some((host, offset)));
        }
        for wrong in
            ["", "0A", "ZA00000100002A9F0000000000000000", "0A00000100002A9FFFFFFFFFFFFFFFFF"]
        {
            assert_eq!(decode_offset_message_id(wrong), None, "{wrong}");
        }
    }
}

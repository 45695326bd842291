//! Records and blanks as JSON objects: the names and types of the fixtures' manifests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairnlog::{PROPERTY_KEYS, PROPERTY_TAGS, PROPERTY_WAIT, RecordView};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A record, field by field.
#[derive(Debug, Serialize)]
pub(crate) struct RecordJson<'a> {
    physical_offset: u64,
    total_size: u32,
    magic: i32,
    queue_id: i32,
    flag: i32,
    queue_offset: u64,
    sys_flag: i32,
    born_timestamp: i64,
    born_host: String,
    store_timestamp: i64,
    store_host: String,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    body_length: usize,
    body_crc32: u32,
    body_sha256: String,
    topic: Cow<'a, str>,
    properties: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    properties_raw_hex: String,
}

impl<'a> RecordJson<'a> {
    /// Takes the fields out of a record.
    pub(crate) fn new(record: &RecordView<'a>) -> Self {
        Self {
            physical_offset: record.physical_offset().get(),
            total_size: record.size_bytes(),
            magic: record.magic(),
            queue_id: record.queue_id(),
            flag: record.flag(),
            queue_offset: record.queue_offset().get(),
            sys_flag: record.sys_flag(),
            born_timestamp: record.born_timestamp_ms(),
            born_host: host(record.born_host()),
            store_timestamp: record.store_timestamp_ms(),
            store_host: host(record.store_host()),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
            body_length: record.body().len(),
            body_crc32: record.body_crc(),
            body_sha256: hex(&Sha256::digest(record.body())),
            topic: record.topic(),
            properties: properties(record),
            properties_raw_hex: hex(record.properties_raw()),
        }
    }
}

/// A blank record: the rest of its file is unused.
#[derive(Debug, Serialize)]
pub(crate) struct BlankJson {
    blank: bool,
    physical_offset: u64,
    size: u32,
}

impl BlankJson {
    /// The blank at this offset with this stored size.
    pub(crate) fn new(physical_offset: u64, size: u32) -> Self {
        Self { blank: true, physical_offset, size }
    }
}

/// A message the way `append --format jsonl` takes it, with where it lay.
#[derive(Debug, Serialize)]
pub(crate) struct MessageJson<'a> {
    physical_offset: u64,
    topic: Cow<'a, str>,
    queue_id: i32,
    queue_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Cow<'a, str>>,
    keys: Vec<Cow<'a, str>>,
    properties: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    flag: i32,
    born_timestamp: i64,
    store_timestamp: i64,
    wait_store_ok: bool,
}

impl<'a> MessageJson<'a> {
    /// Takes the message out of a record.
    pub(crate) fn new(record: &RecordView<'a>) -> Self {
        let body = std::str::from_utf8(record.body()).ok();
        let mut properties = properties(record);
        let tags = properties.remove(PROPERTY_TAGS);
        properties.remove(PROPERTY_KEYS);
        let wait = properties.remove(PROPERTY_WAIT);
        Self {
            physical_offset: record.physical_offset().get(),
            topic: record.topic(),
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset().get(),
            body,
            body_base64: body.is_none().then(|| STANDARD.encode(record.body())),
            tags,
            keys: record.keys(),
            properties,
            flag: record.flag(),
            born_timestamp: record.born_timestamp_ms(),
            store_timestamp: record.store_timestamp_ms(),
            wait_store_ok: wait.is_none_or(|wait| wait.eq_ignore_ascii_case("true")),
        }
    }
}

/// Names and values; of a name that occurs twice the last value.
fn properties<'a>(record: &RecordView<'a>) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
    record
        .properties()
        .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect()
}

/// `address:port` as Java prints it: IPv6 in brackets with all eight groups, and an IPv4 address
/// mapped into IPv6 as the IPv4 address it is.
fn host(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<String> = ip.segments().iter().map(|g| format!("{g:x}")).collect();
            format!("[{}]:{}", groups.join(":"), address.port())
        }
    }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_look_as_java_prints_them() {
        let cases = [
            ("192.168.1.10:50123", "192.168.1.10:50123"),
            ("[2001:db8::a:1]:40001", "[2001:db8:0:0:0:0:a:1]:40001"),
            ("[::]:0", "[0:0:0:0:0:0:0:0]:0"),
            ("[::ffff:10.0.0.1]:9", "10.0.0.1:9"),
        ];
        for (address, expected) in cases {
            assert_eq!(host(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0, 0xAB, 0x7F]), "00ab7f");
    }
}

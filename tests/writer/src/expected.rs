//! What a record must look like, from the format's description and not from the engine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MAGIC: i32 = 0xDAA3_20A7_u32.cast_signed();
const MAGIC_LONG_TOPIC: i32 = 0xDAA3_20AB_u32.cast_signed();
const LONGEST_TOPIC_OF_ONE_LENGTH_BYTE: usize = 127;
const BORN_HOST_V6: i32 = 0x10;
const STORE_HOST_V6: i32 = 0x20;
const RECORD_CRC_BYTES: usize = 20;

/// A record, field by field.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) physical_offset: u64,
    pub(crate) queue_id: i32,
    pub(crate) flag: i32,
    pub(crate) queue_offset: u64,
    /// As the caller gave it: the host bits follow the addresses.
    pub(crate) sys_flag: i32,
    pub(crate) born_timestamp_ms: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) store_timestamp_ms: i64,
    pub(crate) store_host: SocketAddr,
    pub(crate) reconsume_times: i32,
    pub(crate) prepared_transaction_offset: i64,
    pub(crate) body: Vec<u8>,
    pub(crate) topic: String,
    /// Without the record CRC.
    pub(crate) properties: Vec<u8>,
    pub(crate) record_crc: bool,
    pub(crate) dispatched: bool,
}

impl Expected {
    /// The length of the record in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let long_topic = usize::from(self.topic.len() > LONGEST_TOPIC_OF_ONE_LENGTH_BYTE);
        let ipv6 = [self.born_host, self.store_host].iter().filter(|host| host.is_ipv6()).count();
        let crc = if self.record_crc { RECORD_CRC_BYTES } else { 0 };
        91 + self.body.len()
            + self.topic.len()
            + self.properties_before_crc().len()
            + long_topic
            + 12 * ipv6
            + crc
    }

    /// A separator stands between the other properties and the record CRC.
    fn properties_before_crc(&self) -> Vec<u8> {
        let mut bytes = self.properties.clone();
        if self.record_crc && bytes.last().is_some_and(|&last| last != 2) {
            bytes.push(2);
        }
        bytes
    }

    fn stored_sys_flag(&self) -> i32 {
        let mut flag = self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            flag |= BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            flag |= STORE_HOST_V6;
        }
        flag
    }

    fn magic(&self) -> i32 {
        if self.topic.len() > LONGEST_TOPIC_OF_ONE_LENGTH_BYTE { MAGIC_LONG_TOPIC } else { MAGIC }
    }

    fn body_crc(&self) -> u32 {
        crc32fast::hash(&self.body) & 0x7FFF_FFFF
    }

    /// Everything in front of the appended record CRC.
    fn bytes_before_crc(&self) -> Vec<u8> {
        let properties = self.properties_before_crc();
        let crc = if self.record_crc { RECORD_CRC_BYTES } else { 0 };
        let mut out = Vec::with_capacity(self.size_bytes());
        out.extend((self.size_bytes() as i32).to_be_bytes());
        out.extend(self.magic().to_be_bytes());
        out.extend(self.body_crc().to_be_bytes());
        out.extend(self.queue_id.to_be_bytes());
        out.extend(self.flag.to_be_bytes());
        out.extend(self.queue_offset.to_be_bytes());
        out.extend(self.physical_offset.to_be_bytes());
        out.extend(self.stored_sys_flag().to_be_bytes());
        out.extend(self.born_timestamp_ms.to_be_bytes());
        put_host(&mut out, self.born_host);
        out.extend(self.store_timestamp_ms.to_be_bytes());
        put_host(&mut out, self.store_host);
        out.extend(self.reconsume_times.to_be_bytes());
        out.extend(self.prepared_transaction_offset.to_be_bytes());
        out.extend((self.body.len() as i32).to_be_bytes());
        out.extend(&self.body);
        if self.topic.len() > LONGEST_TOPIC_OF_ONE_LENGTH_BYTE {
            out.extend((self.topic.len() as i16).to_be_bytes());
        } else {
            out.push(self.topic.len() as u8);
        }
        out.extend(self.topic.as_bytes());
        out.extend(((properties.len() + crc) as i16).to_be_bytes());
        out.extend(properties);
        out
    }

    /// The properties as stored; the digits of the record CRC stand in reverse.
    fn stored_properties(&self) -> Vec<u8> {
        let mut properties = self.properties_before_crc();
        if self.record_crc {
            let crc = crc32fast::hash(&self.bytes_before_crc()) & 0x7FFF_FFFF;
            let digits: String = format!("{crc:010}").chars().rev().collect();
            properties.extend(format!("__CRC32#\u{1}{digits}\u{2}").bytes());
        }
        properties
    }

    /// The line for this record.
    pub(crate) fn to_json(&self) -> Value {
        let stored = self.stored_properties();
        let properties = decode_properties(&stored);
        let tags_code = match properties.get("TAGS") {
            Some(tag) if self.dispatched => json!(string_hash(tag)),
            None if self.dispatched => json!(0),
            _ => Value::Null,
        };
        json!({
            "physical_offset": self.physical_offset,
            "total_size": self.size_bytes(),
            "magic": self.magic(),
            "queue_id": self.queue_id,
            "flag": self.flag,
            "queue_offset": self.queue_offset,
            "sys_flag": self.stored_sys_flag(),
            "born_timestamp": self.born_timestamp_ms,
            "born_host": host_text(self.born_host),
            "store_timestamp": self.store_timestamp_ms,
            "store_host": host_text(self.store_host),
            "reconsume_times": self.reconsume_times,
            "prepared_transaction_offset": self.prepared_transaction_offset,
            "body_length": self.body.len(),
            "body_crc32": self.body_crc(),
            "body_sha256": hex(&Sha256::digest(&self.body)),
            "topic": self.topic,
            "properties": properties,
            "properties_raw_hex": hex(&stored),
            "dispatched": self.dispatched,
            "tags_code": tags_code,
        })
    }
}

fn put_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(u32::from(host.port()).to_be_bytes());
}

/// An address as Java prints it: IPv6 in brackets with all eight groups.
pub(crate) fn host_text(host: SocketAddr) -> String {
    match host.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", host.port()),
        IpAddr::V6(ip) => {
            let groups = ip.segments().map(|group| format!("{group:x}")).join(":");
            format!("[{groups}]:{}", host.port())
        }
    }
}

/// Names and values as RocketMQ's decoder reads them.
pub(crate) fn decode_properties(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    text.split('\u{2}')
        .filter_map(|segment| segment.split_once('\u{1}'))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Java's hash of a string, which is what a queue unit holds for a tag.
fn string_hash(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

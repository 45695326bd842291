//! A message as Java passes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cairnlog::{Error, Message, PROPERTY_KEYS, PROPERTY_TAGS, Result, Status, encode_batch_item};
use jni::Env;
use jni::objects::{JByteArray, JClass};

use crate::boundary::Outcome;
use crate::wire::Reader;

/// The numbers that every message begins with.
const HEAD_BYTES: usize = 40;

/// A message and the lists it borrows.
pub(crate) struct MessageFrame<'a> {
    fields: Message<'a>,
    keys: Vec<&'a str>,
    properties: Vec<(&'a str, &'a str)>,
}

impl<'a> MessageFrame<'a> {
    /// Reads one message; `io.cairnlog.Message.write` wrote it.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self> {
        // All numbers in one look at what is left: this runs for every append.
        let head: [u8; HEAD_BYTES] = reader.array()?;
        let i32_at = |at: usize| i32::from_le_bytes(four(&head, at));
        let i64_at =
            |at: usize| i64::from(i32_at(at + 4)) << 32 | i64::from(i32_at(at).cast_unsigned());
        let [queue_id, flag, sys_flag, reconsume_times] = [0, 4, 8, 12].map(i32_at);
        let wait_store_ok = i32_at(16) != 0;
        let [prepared_transaction_offset, born_timestamp_ms] = [20, 28].map(i64_at);
        let delay_level = delay_level(i32_at(36))?;
        let born_host = read_host(reader)?;
        let topic = reader.text()?;
        let tag = reader.optional_text()?;
        let mut keys = Vec::new();
        for _ in 0..reader.length()? {
            keys.push(reader.text()?);
        }
        let mut properties = Vec::new();
        for _ in 0..reader.length()? {
            properties.push((reader.text()?, reader.text()?));
        }
        let body = reader.bytes()?;
        let fields = Message {
            topic,
            queue_id,
            body,
            tag,
            keys: &[],
            properties: &[],
            flag,
            sys_flag,
            born_timestamp_ms: (born_timestamp_ms != i64::MIN).then_some(born_timestamp_ms),
            born_host,
            reconsume_times,
            prepared_transaction_offset,
            delay_level,
            wait_store_ok,
        };
        Ok(Self { fields, keys, properties })
    }

    /// Reads the only message of a request.
    pub(crate) fn read_single(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let frame = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(frame)
    }

    /// The message.
    pub(crate) fn message(&self) -> Message<'_> {
        Message { keys: &self.keys, properties: &self.properties, ..self.fields }
    }
}

/// Encodes messages as a client's batch does: flag, body and properties of each.
pub(crate) fn encode_batch_items<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
) -> Outcome<JByteArray<'local>> {
    let request = env.convert_byte_array(&request)?;
    let items = encode_items(&request)?;
    Ok(env.byte_array_from_slice(&items)?)
}

fn encode_items(request: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(request);
    let mut items = Vec::with_capacity(request.len());
    for _ in 0..reader.length()? {
        let frame = MessageFrame::read(&mut reader)?;
        if frame.fields.delay_level > 0 {
            return Err(Error::new(Status::BatchIllegal, "a message of a batch cannot be delayed"));
        }
        let properties = encode_properties(&frame)?;
        encode_batch_item(&mut items, frame.fields.flag, frame.fields.body, &properties)?;
    }
    reader.finish()?;
    Ok(items)
}

fn encode_properties(frame: &MessageFrame<'_>) -> Result<Vec<u8>> {
    let keys = frame.keys.join(" ");
    let pairs = frame.properties.iter().copied();
    let tag = frame.fields.tag.map(|tag| (PROPERTY_TAGS, tag));
    let keys = (!frame.keys.is_empty()).then_some((PROPERTY_KEYS, keys.as_str()));
    let mut encoded = Vec::new();
    for (name, value) in pairs.chain(tag).chain(keys) {
        if name.is_empty() || value.is_empty() || name.contains(['\u{1}', '\u{2}']) {
            return Err(illegal("a property of a batch item is empty or its name a separator"));
        }
        if value.contains('\u{2}') {
            return Err(illegal("a property value of a batch item holds 0x02"));
        }
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(1);
        encoded.extend_from_slice(value.as_bytes());
        encoded.push(2);
    }
    Ok(encoded)
}

fn illegal(what: &'static str) -> Error {
    Error::new(Status::PropertiesIllegal, what)
}

/// Four bytes of the head; the places of its fields are constants that lie in it.
fn four(head: &[u8; HEAD_BYTES], at: usize) -> [u8; 4] {
    head.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
}

fn delay_level(level: i32) -> Result<u32> {
    u32::try_from(level).map_err(|_| {
        Error::new(Status::InvalidArgument, "delayLevel of a message is negative")
            .expected("at least 0", level)
    })
}

/// Reads an address: 0 for none, else 4 or 16 address bytes behind their length, then the port.
fn read_host(reader: &mut Reader<'_>) -> Result<Option<SocketAddr>> {
    let address = reader.bytes()?;
    let ip = match *address {
        [] => return Ok(None),
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => {
            let octets: [u8; 16] = address
                .try_into()
                .map_err(|_| Error::new(Status::InvalidArgument, "an address has an odd length"))?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    };
    let port = u16::try_from(reader.i32()?)
        .map_err(|_| Error::new(Status::InvalidArgument, "a port is above 65535 or negative"))?;
    Ok(Some(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    #[test]
    fn every_field_arrives() {
        let mut writer = Writer::default();
        writer.i32(3).i32(-1).i32(8).i32(2).flag(false).i64(99).i64(i64::MIN).i32(4);
        writer.bytes(&[10, 0, 0, 1]).i32(65_535);
        writer.text("orders").optional_text(Some("new"));
        writer.i32(2).text("k1").text("k2").i32(1).text("a").text("b");
        writer.bytes(b"body");
        let bytes = writer.as_slice().to_vec();
        let frame = MessageFrame::read_single(&bytes).unwrap();
        let message = frame.message();
        assert_eq!((message.queue_id, message.flag, message.sys_flag), (3, -1, 8));
        assert_eq!(message.prepared_transaction_offset, 99);
        assert_eq!((message.born_timestamp_ms, message.delay_level), (None, 4));
        assert_eq!(message.born_host, Some("10.0.0.1:65535".parse().unwrap()));
        assert_eq!((message.topic, message.tag), ("orders", Some("new")));
        assert_eq!(message.keys, ["k1", "k2"]);
        assert_eq!(message.properties, [("a", "b")]);
        assert_eq!(message.body, b"body");
        assert!(!message.wait_store_ok);
        for cut in 0..bytes.len() {
            assert!(MessageFrame::read_single(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}

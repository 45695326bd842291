//! A message as Java passes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cairnlog::{Error, Message, PROPERTY_KEYS, PROPERTY_TAGS, Result, Status, encode_batch_item};
use jni::Env;
use jni::objects::{JByteArray, JClass};

use crate::boundary::Outcome;
use crate::wire::{Reader, utf8};

/// The numbers that every message begins with.
const HEAD_BYTES: usize = 40;

/// Whether a message's topic counts, or that of a prepared queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UseTopic {
    Yes,
    No,
}

/// What a message borrows besides the request it was read from.
#[derive(Default)]
pub(crate) struct Lists<'a> {
    keys: Vec<&'a str>,
    properties: Vec<(&'a str, &'a str)>,
}

impl Lists<'_> {
    /// Gives the message what was read with it.
    pub(crate) fn lend<'b>(&'b self, message: &mut Message<'b>) {
        message.keys = &self.keys;
        message.properties = &self.properties;
    }
}

/// A message without a body, for [`read_message`].
pub(crate) const NO_MESSAGE: Message<'static> = Message::new("", &[]);

/// Reads one message, which `io.cairnlog.Message.write` wrote, into where it is used: a copy of
/// what was just stored in smaller pieces waits for the stores. `message` has been [`NO_MESSAGE`]
/// until now, and its lists are left to be lent.
#[inline]
pub(crate) fn read_message<'a>(
    reader: &mut Reader<'a>,
    use_topic: UseTopic,
    message: &mut Message<'a>,
    lists: &mut Lists<'a>,
) -> Result<()> {
    // All numbers in one look at what is left: this runs for every append.
    let head: &[u8; HEAD_BYTES] = reader.chunk()?;
    let i32_at = |at: usize| i32::from_le_bytes(four(head, at));
    let i64_at =
        |at: usize| i64::from(i32_at(at + 4)) << 32 | i64::from(i32_at(at).cast_unsigned());
    [message.queue_id, message.flag, message.sys_flag, message.reconsume_times] =
        [0, 4, 8, 12].map(i32_at);
    message.wait_store_ok = i32_at(16) != 0;
    message.prepared_transaction_offset = i64_at(20);
    let born_timestamp_ms = i64_at(28);
    message.born_timestamp_ms = (born_timestamp_ms != i64::MIN).then_some(born_timestamp_ms);
    message.delay_level = delay_level(i32_at(36))?;
    let address = reader.bytes()?;
    if !address.is_empty() {
        message.born_host = Some(host(address, reader.i32()?)?);
    }
    let topic = reader.bytes()?;
    if use_topic == UseTopic::Yes {
        message.topic = utf8(topic)?;
    }
    message.tag = reader.optional_text()?;
    for _ in 0..reader.length()? {
        lists.keys.push(reader.text()?);
    }
    for _ in 0..reader.length()? {
        lists.properties.push((reader.text()?, reader.text()?));
    }
    message.body = reader.bytes()?;
    Ok(())
}

/// Runs `take` on the only message of a request.
#[inline]
pub(crate) fn with_message<T>(
    request: &[u8],
    use_topic: UseTopic,
    take: impl FnOnce(&Message<'_>) -> Result<T>,
) -> Result<T> {
    let mut lists = Lists::default();
    let mut message = NO_MESSAGE;
    let mut reader = Reader::new(request);
    read_message(&mut reader, use_topic, &mut message, &mut lists)?;
    reader.finish()?;
    lists.lend(&mut message);
    take(&message)
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
        let mut lists = Lists::default();
        let mut message = NO_MESSAGE;
        read_message(&mut reader, UseTopic::Yes, &mut message, &mut lists)?;
        if message.delay_level > 0 {
            return Err(Error::new(Status::BatchIllegal, "a message of a batch cannot be delayed"));
        }
        let properties = encode_properties(message.tag, &lists)?;
        encode_batch_item(&mut items, message.flag, message.body, &properties)?;
    }
    reader.finish()?;
    Ok(items)
}

fn encode_properties(tag: Option<&str>, lists: &Lists<'_>) -> Result<Vec<u8>> {
    let keys = lists.keys.join(" ");
    let pairs = lists.properties.iter().copied();
    let tag = tag.map(|tag| (PROPERTY_TAGS, tag));
    let keys = (!lists.keys.is_empty()).then_some((PROPERTY_KEYS, keys.as_str()));
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

#[inline]
fn delay_level(level: i32) -> Result<u32> {
    u32::try_from(level).map_err(|_| {
        Error::new(Status::InvalidArgument, "delayLevel of a message is negative")
            .expected("at least 0", level)
    })
}

/// An address of 4 or 16 bytes and a port.
fn host(address: &[u8], port: i32) -> Result<SocketAddr> {
    let ip = match *address {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => {
            let octets: [u8; 16] = address
                .try_into()
                .map_err(|_| Error::new(Status::InvalidArgument, "an address has an odd length"))?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    };
    let port = u16::try_from(port)
        .map_err(|_| Error::new(Status::InvalidArgument, "a port is above 65535 or negative"))?;
    Ok(SocketAddr::new(ip, port))
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
        let every_field = |message: &Message<'_>| {
            assert_eq!((message.queue_id, message.flag, message.sys_flag), (3, -1, 8));
            assert_eq!(message.reconsume_times, 2);
            assert_eq!(message.prepared_transaction_offset, 99);
            assert_eq!((message.born_timestamp_ms, message.delay_level), (None, 4));
            assert_eq!(message.born_host, Some("10.0.0.1:65535".parse().unwrap()));
            assert_eq!((message.topic, message.tag), ("orders", Some("new")));
            assert_eq!(message.keys, ["k1", "k2"]);
            assert_eq!(message.properties, [("a", "b")]);
            assert_eq!(message.body, b"body");
            assert!(!message.wait_store_ok);
            Ok(())
        };
        with_message(&bytes, UseTopic::Yes, every_field).unwrap();
        let topic = with_message(&bytes, UseTopic::No, |message| Ok(message.topic.to_owned()));
        assert_eq!(topic.unwrap(), "");
        for cut in 0..bytes.len() {
            let read = with_message(&bytes[..cut], UseTopic::Yes, |_| Ok(()));
            assert!(read.is_err(), "cut at {cut}");
        }
    }
}

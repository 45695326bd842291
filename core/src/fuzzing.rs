//! What the targets in `fuzz/` need of the codec and no caller does. It is no part of the API.

use std::net::SocketAddr;

use crate::codec::batch::BatchItems;
use crate::codec::host::EncodedHost;
use crate::codec::properties::{with_number, without_record_crc};
use crate::codec::record::{CrcCheck, DraftFields, Parsed, RecordDraft, Stamp, parse};
use crate::codec::{PropertyIter, RecordView};
use crate::commit_log::properties_of;
use crate::error::Result;
use crate::message::Message;
pub use crate::state::{StateKind, state_round_trip};

/// How thoroughly [`decode_record`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Structure and CRC.
    Crc,
    /// Structure only.
    Structure,
}

/// The record that `bytes` begin with, if a whole one of this offset does.
#[must_use]
pub fn decode_record(bytes: &[u8], physical_offset: u64, check: Check) -> Option<RecordView<'_>> {
    let crc = match check {
        Check::Crc => CrcCheck::Verify,
        Check::Structure => CrcCheck::Skip,
    };
    match parse(bytes, physical_offset, crc) {
        Ok(Parsed::Record(layout)) => Some(RecordView::new(bytes, layout)),
        Ok(Parsed::Blank(_)) | Err(_) => None,
    }
}

/// What a store decides about a record.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where it lies.
    pub physical_offset: u64,
    /// Its index in its queue.
    pub queue_offset: u64,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub store_timestamp_ms: i64,
    /// The store's address.
    pub store_host: SocketAddr,
    /// Whether it ends with a CRC over all of it.
    pub record_crc: bool,
}

/// The bytes of a record, also of one that no append would let pass. Its properties are `raw`, then
/// those of the message; its topic is `topic`.
///
/// # Errors
///
/// - [`crate::Status::PropertiesTooLarge`], [`crate::Status::MessageTooLarge`]: a length exceeds
///   its field.
/// - [`crate::Status::PropertiesIllegal`]: they end as the CRC of a record does, and it has none.
pub fn encode_record(
    message: &Message<'_>,
    topic: &[u8],
    raw: &[u8],
    place: Place,
) -> Result<Vec<u8>> {
    let draft = RecordDraft::new(DraftFields {
        topic,
        queue_id: message.queue_id,
        body: message.body,
        flag: message.flag,
        sys_flag: message.sys_flag,
        born_timestamp_ms: message.born_timestamp_ms,
        born_host: EncodedHost::new(message.born_host.unwrap_or(place.store_host)),
        store_host: EncodedHost::new(place.store_host),
        reconsume_times: message.reconsume_times,
        prepared_transaction_offset: message.prepared_transaction_offset,
        properties: properties_of(message, raw),
        record_crc: place.record_crc,
    })?;
    let stamp = Stamp {
        physical_offset: place.physical_offset,
        queue_offset: place.queue_offset,
        store_timestamp_ms: place.store_timestamp_ms,
    };
    let mut bytes = Vec::new();
    draft.encode(stamp, &mut bytes);
    assert_eq!(bytes.len() as u64, u64::from(draft.size_bytes()));
    Ok(bytes)
}

/// The properties of a message behind raw ones, as a record without a CRC of its own has them.
///
/// # Errors
///
/// - [`crate::Status::PropertiesIllegal`]: a name, value, tag or key could not be read again.
pub fn encode_properties(message: &Message<'_>, raw: &[u8]) -> Result<Vec<u8>> {
    let source = properties_of(message, raw);
    source.validate()?;
    let mut bytes = Vec::new();
    source.encode(&mut bytes);
    assert_eq!(bytes.len(), source.length());
    Ok(bytes)
}

/// The pairs in encoded properties.
#[must_use]
pub fn properties(raw: &[u8]) -> PropertyIter<'_> {
    PropertyIter::new(raw)
}

/// Encoded properties without the CRC of the record they come from, and with a number.
#[must_use]
pub fn properties_with_number(raw: &[u8], name: &str, number: u32) -> Vec<u8> {
    with_number(raw, name, number)
}

/// Encoded properties without the CRC of the record they come from.
#[must_use]
pub fn properties_without_crc(raw: &[u8]) -> &[u8] {
    without_record_crc(raw)
}

/// An item of a client's batch: flag, body and properties.
pub type Item<'a> = (i32, &'a [u8], &'a [u8]);

/// The items of a client's batch.
///
/// # Errors
///
/// - [`crate::Status::BatchIllegal`]: one is malformed.
pub fn batch_items(items: &[u8]) -> Result<Vec<Item<'_>>> {
    BatchItems::new(items)
        .map(|item| item.map(|item| (item.flag, item.body, item.properties)))
        .collect()
}

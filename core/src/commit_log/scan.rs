//! Reading: views that pin their file, single ones, batches and iterators.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::walk::{check_pages, damage_at, move_behind, view};
use crate::codec::record::{CrcCheck, Defect, Parsed, RecordLayout, parse};
use crate::codec::{PropertyIter, RecordView};
use crate::error::{Error, Result};
use crate::mapped::{MappedFileQueue, Pin};
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::status::Status;

/// A message in the log, read without copying.
///
/// It pins the file it lies in: the bytes stay readable for as long as the view lives, also after
/// the store was closed or the file removed. Cloning is cheap; views go to any thread.
#[derive(Debug, Clone)]
pub struct MessageView {
    pin: Pin,
    layout: RecordLayout,
}

macro_rules! delegate {
    ($($(#[doc = $doc:literal])+ $name:ident -> $type:ty;)+) => {
        $(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $name(&self) -> $type {
                self.record().$name()
            }
        )+
    };
}

impl MessageView {
    pub(crate) fn new(pin: Pin, layout: RecordLayout) -> Self {
        Self { pin, layout }
    }

    /// The record, whose fields live as long as the borrow of this view.
    #[must_use]
    pub fn record(&self) -> RecordView<'_> {
        view(&self.pin, self.layout)
    }

    delegate! {
        /// The record as it is stored.
        bytes -> &[u8];
        /// The length of the record in bytes.
        size_bytes -> u32;
        /// The magic: 0xDAA320A7 (V1) or 0xDAA320AB (V2), as the format's signed number.
        magic -> i32;
        /// The stored CRC-32 of the body, its top bit cleared.
        body_crc -> u32;
        /// The queue inside the topic.
        queue_id -> i32;
        /// The application's own number.
        flag -> i32;
        /// The index in the queue.
        queue_offset -> QueueOffset;
        /// Where the record begins in the log.
        physical_offset -> PhysicalOffset;
        /// One past the record's last byte in the log.
        end_offset -> PhysicalOffset;
        /// RocketMQ's system flag bits.
        sys_flag -> i32;
        /// The producer's clock, milliseconds since the Unix epoch.
        born_timestamp_ms -> i64;
        /// The producer's address.
        born_host -> SocketAddr;
        /// The store's clock at the append, milliseconds since the Unix epoch.
        store_timestamp_ms -> i64;
        /// The store's address.
        store_host -> SocketAddr;
        /// How often the message was consumed before.
        reconsume_times -> i32;
        /// The physical offset of the half message of a committed transaction, else 0.
        prepared_transaction_offset -> i64;
        /// The payload.
        body -> &[u8];
        /// The topic; bytes that are no UTF-8 are replaced.
        topic -> Cow<'_, str>;
        /// The topic as stored.
        topic_bytes -> &[u8];
        /// The properties as stored, the appended record CRC included.
        properties_raw -> &[u8];
        /// The message's own properties as stored: those without the appended record CRC.
        own_properties_raw -> &[u8];
        /// The message's own properties, in stored order.
        properties -> PropertyIter<'_>;
        /// The tag.
        tag -> Option<Cow<'_, str>>;
        /// The keys, each without the spaces around it.
        keys -> Vec<Cow<'_, str>>;
        /// RocketMQ's `offsetMsgId`.
        offset_message_id -> String;
    }

    /// The value of a property; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Cow<'_, str>> {
        self.record().property(name)
    }
}

/// Messages read together.
#[derive(Debug, Clone)]
pub struct Batch {
    messages: Vec<MessageView>,
    next_offset: PhysicalOffset,
}

impl Batch {
    /// The messages, in log order.
    #[must_use]
    pub fn messages(&self) -> &[MessageView] {
        &self.messages
    }

    /// Where to go on reading.
    #[must_use]
    pub fn next_offset(&self) -> PhysicalOffset {
        self.next_offset
    }

    /// The messages, without the batch.
    #[must_use]
    pub fn into_messages(self) -> Vec<MessageView> {
        self.messages
    }
}

/// Fails when `offset` lies in front of the log or behind its readable end. The end itself is in
/// range.
fn check_range(queue: &MappedFileQueue, offset: PhysicalOffset) -> Result<()> {
    let (min, max) = (queue.min_offset(), queue.committed().get());
    if (min..=max).contains(&offset.get()) {
        return Ok(());
    }
    Err(Error::new(Status::OffsetOutOfRange, "the offset lies outside the log")
        .at_offset(offset.get())
        .expected(format!("{min} to {max}"), offset))
}

/// The message whose record begins at an offset.
pub(crate) fn read_at(queue: &MappedFileQueue, offset: PhysicalOffset) -> Result<MessageView> {
    check_range(queue, offset)?;
    let Some(pin) = queue.pin(offset.get()) else {
        // Removed since the check, or the end.
        check_range(queue, offset)?;
        let what = "nothing is stored there yet";
        return Err(Error::new(Status::OffsetOutOfRange, what).at_offset(offset.get()));
    };
    let parsed = parse(pin.bytes(), offset.get(), CrcCheck::Verify);
    check_pages(&pin, &parsed)?;
    match parsed {
        Ok(Parsed::Record(layout)) => Ok(MessageView::new(pin, layout)),
        Err(defect) if defect.is_of_crc() => Err(defect_at(&pin, offset.get(), defect)),
        _ => Err(not_a_record(&pin, offset)),
    }
}

fn not_a_record(pin: &Pin, offset: PhysicalOffset) -> Error {
    Error::new(Status::NotARecord, "no record begins there")
        .at_path(pin.file().path())
        .at_offset(offset.get())
}

/// Moves the readable end of a log that another process writes.
pub(crate) trait FollowLog: std::fmt::Debug + Send + Sync {
    /// Moves the end behind what is there by now.
    fn look(&self);
    /// Waits until the end exceeds `position`. False when the deadline passed or the reader was
    /// closed, without that.
    fn wait_past(&self, position: u64, deadline: Option<Instant>) -> bool;
}

/// An iterator over the messages of the log.
///
/// `next` returns `None` at the readable end and may be called again when more was appended;
/// [`Scan::next_timeout`] waits for it. Damage is an error, after which the scan stays where it is.
/// A scan that retention overtook fails with [`Status::OffsetOutOfRange`], which names where the
/// log begins now; the file it was reading stays readable to its end. It never jumps by itself: go
/// on with a new scan.
#[derive(Debug)]
pub struct Scan {
    queue: Arc<MappedFileQueue>,
    position: u64,
    crc: CrcCheck,
    /// Whether something was found where the scan was told to begin.
    on_boundary: bool,
    pin: Option<Pin>,
    /// Who moves the end, if this process does not.
    follower: Option<Arc<dyn FollowLog>>,
}

/// A scan from a record boundary.
pub(crate) fn open_scan(
    queue: &Arc<MappedFileQueue>,
    from: PhysicalOffset,
    crc: CrcCheck,
) -> Result<Scan> {
    check_range(queue, from)?;
    let (queue, position) = (Arc::clone(queue), from.get());
    Ok(Scan { queue, position, crc, on_boundary: false, pin: None, follower: None })
}

impl Scan {
    /// The same scan of a log that another process writes.
    pub(crate) fn following(mut self, follower: Arc<dyn FollowLog>) -> Self {
        self.follower = Some(follower);
        self
    }

    fn pin(&self) -> Option<Pin> {
        self.queue.pin(self.position).or_else(|| {
            self.follower.as_ref()?.look();
            self.queue.pin(self.position)
        })
    }

    fn wait(&self, deadline: Option<Instant>) -> bool {
        match &self.follower {
            None => self.queue.committed().wait_past(self.position, deadline),
            Some(follower) => follower.wait_past(self.position, deadline),
        }
    }

    /// Where the next message will be read.
    #[must_use]
    pub fn offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.position)
    }

    /// The next message, waited for if there is none yet; `None` when the time runs out, or the
    /// store is closed.
    ///
    /// # Errors
    ///
    /// - [`Status::NotARecord`]: the scan was begun where no record begins.
    /// - [`Status::OffsetOutOfRange`]: retention removed what was to be read next.
    /// - [`Status::Corruption`]: the next record is damaged.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<MessageView>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(message) = self.next() {
                return message.map(Some);
            }
            let moved = self.wait(deadline);
            if self.queue.committed().is_closed() {
                // What was appended before the end may still be there, or its files are gone.
                return self.next().transpose();
            }
            if !moved {
                return Ok(None);
            }
        }
    }

    fn step(&mut self) -> Option<Result<MessageView>> {
        loop {
            if self.pin.is_none() {
                self.pin = self.pin();
            }
            let at = self.position;
            let Some(pin) = &mut self.pin else {
                return self.queue.removed_up_to(at).map(|first| Err(was_removed(at, first)));
            };
            let parsed = parse(pin.bytes(), at, self.crc);
            let error = match (check_pages(pin, &parsed), parsed) {
                (Ok(()), Ok(Parsed::Record(layout))) => {
                    let message = MessageView::new(pin.clone(), layout);
                    self.position += u64::from(layout.size);
                    if !move_behind(pin, &layout, self.crc) {
                        self.pin = None;
                    }
                    self.on_boundary = true;
                    return Some(Ok(message));
                }
                (Ok(()), Ok(Parsed::Blank(_))) => {
                    self.position = pin.file().end();
                    self.on_boundary = true;
                    self.pin = None;
                    continue;
                }
                (Ok(()), Err(defect)) if !self.on_boundary && !defect.is_of_crc() => {
                    not_a_record(pin, PhysicalOffset::new(at))
                }
                (Ok(()), Err(defect)) => defect_at(pin, at, defect),
                (Err(error), _) => error,
            };
            self.pin = None;
            return Some(Err(error));
        }
    }
}

fn was_removed(at: u64, first: u64) -> Error {
    let what = "retention removed what was to be read next";
    Error::new(Status::OffsetOutOfRange, what)
        .at_offset(at)
        .expected(format!("{first} or more, where the log begins now"), at)
}

/// An error about what is wrong with the record at a position.
pub(crate) fn defect_at(pin: &Pin, at: u64, defect: Defect) -> Error {
    match defect {
        Defect::Free => damage_at(pin.file(), at, "a record is missing"),
        Defect::Damaged { what, expected, found } => {
            damage_at(pin.file(), at, what).expected(expected, found)
        }
    }
}

impl Iterator for Scan {
    type Item = Result<MessageView>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}

/// Messages from an offset on: at most `max_messages` and, beyond the first, `max_bytes` of
/// records.
pub(crate) fn read_log(
    queue: &Arc<MappedFileQueue>,
    from: PhysicalOffset,
    (max_messages, max_bytes): (usize, usize),
    crc: CrcCheck,
) -> Result<Batch> {
    let mut scan = open_scan(queue, from, crc)?;
    let mut messages = Vec::new();
    let mut bytes = 0usize;
    let mut next_offset = from;
    while messages.len() < max_messages {
        match scan.next() {
            None => break,
            Some(Err(error)) if messages.is_empty() => return Err(error),
            // What is good is returned first; the next read meets the damage.
            Some(Err(_)) => break,
            Some(Ok(message)) => {
                bytes = bytes.saturating_add(message.size_bytes() as usize);
                if !messages.is_empty() && bytes > max_bytes {
                    break;
                }
                next_offset = message.end_offset();
                messages.push(message);
            }
        }
    }
    if messages.is_empty() {
        next_offset = scan.offset();
    }
    Ok(Batch { messages, next_offset })
}

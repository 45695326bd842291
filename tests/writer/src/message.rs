//! Messages that own their parts, and bodies that are the same in each run.

use std::net::SocketAddr;

use cairnlog::Message;

/// A message to append; the fields are those of [`Message`].
#[derive(Debug, Clone)]
pub(crate) struct OwnedMessage {
    pub(crate) topic: String,
    pub(crate) queue_id: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) tag: Option<String>,
    pub(crate) keys: Vec<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) flag: i32,
    pub(crate) sys_flag: i32,
    pub(crate) born_timestamp_ms: Option<i64>,
    pub(crate) born_host: Option<SocketAddr>,
    pub(crate) reconsume_times: i32,
    pub(crate) prepared_transaction_offset: i64,
    pub(crate) wait_store_ok: bool,
}

impl OwnedMessage {
    /// A message with nothing but a topic, a queue and a body.
    pub(crate) fn new(topic: &str, queue_id: i32, body: Vec<u8>) -> Self {
        Self {
            topic: topic.to_owned(),
            queue_id,
            body,
            tag: None,
            keys: Vec::new(),
            properties: Vec::new(),
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: None,
            born_host: None,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            wait_store_ok: true,
        }
    }

    pub(crate) fn tag(mut self, tag: &str) -> Self {
        self.tag = Some(tag.to_owned());
        self
    }

    pub(crate) fn keys(mut self, keys: &[&str]) -> Self {
        self.keys = keys.iter().map(|&key| key.to_owned()).collect();
        self
    }

    pub(crate) fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn sys_flag(mut self, sys_flag: i32) -> Self {
        self.sys_flag = sys_flag;
        self
    }

    pub(crate) fn born(mut self, timestamp_ms: i64, host: Option<SocketAddr>) -> Self {
        self.born_timestamp_ms = Some(timestamp_ms);
        self.born_host = host;
        self
    }

    /// Whether the message takes an index in its queue.
    pub(crate) fn is_dispatched(&self) -> bool {
        matches!(self.sys_flag & 0xC, 0 | 8)
    }

    /// The properties the store must write: single ones, tag, keys, then `WAIT`.
    pub(crate) fn encoded_properties(&self) -> Vec<u8> {
        let mut pairs = self.properties.clone();
        if let Some(tag) = &self.tag {
            pairs.push(("TAGS".to_owned(), tag.clone()));
        }
        if !self.keys.is_empty() {
            pairs.push(("KEYS".to_owned(), self.keys.join(" ")));
        }
        if !self.wait_store_ok {
            pairs.push(("WAIT".to_owned(), "false".to_owned()));
        }
        pairs
            .iter()
            .flat_map(|(name, value)| format!("{name}\u{1}{value}\u{2}").into_bytes())
            .collect()
    }

    /// Calls with the message as the engine takes it.
    pub(crate) fn lend<T>(&self, call: impl FnOnce(&Message<'_>) -> T) -> T {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut message = Message::new(&self.topic, &self.body)
            .queue_id(self.queue_id)
            .keys(&keys)
            .properties(&properties)
            .wait_store_ok(self.wait_store_ok);
        message.tag = self.tag.as_deref();
        message.flag = self.flag;
        message.sys_flag = self.sys_flag;
        message.born_timestamp_ms = self.born_timestamp_ms;
        message.born_host = self.born_host;
        message.reconsume_times = self.reconsume_times;
        message.prepared_transaction_offset = self.prepared_transaction_offset;
        call(&message)
    }
}

/// One message of a client's batch.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) flag: i32,
    pub(crate) body: Vec<u8>,
    /// Encoded, with or without the last separator.
    pub(crate) properties: Vec<u8>,
}

/// Numbers that look random and are the same in each run (xorshift).
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A body of any bytes.
    pub(crate) fn body(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 24) as u8).collect()
    }
}

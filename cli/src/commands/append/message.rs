//! What an input line becomes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairnlog::Message;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::arguments::Append;

/// What every message of a command shares.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    topic: Option<String>,
    tag: Option<String>,
    keys: Vec<String>,
    first_queue: i32,
    queues: u32,
    delay_level: u32,
    wait_store_ok: bool,
}

impl Shared {
    /// Takes it from the command line.
    pub(crate) fn new(command: &Append) -> Self {
        Self {
            topic: command.topic.clone(),
            tag: command.tag.clone(),
            keys: command.keys.clone(),
            first_queue: if command.queues.is_some() { 0 } else { command.queue },
            queues: command.queues.unwrap_or(1),
            delay_level: command.delay_level,
            wait_store_ok: !command.no_wait,
        }
    }

    /// The topic, empty if the command line has none.
    pub(crate) fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    /// The keys, in the form a message takes them.
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }

    /// The queue of the message with this ordinal.
    pub(crate) fn queue(&self, ordinal: u64) -> i32 {
        let turn = i32::try_from(ordinal % u64::from(self.queues)).unwrap_or_default();
        self.first_queue.saturating_add(turn)
    }

    /// All queues that are used in turn.
    pub(crate) fn queues(&self) -> impl Iterator<Item = i32> + '_ {
        (0..u64::from(self.queues)).map(|turn| self.queue(turn))
    }

    /// The message of a plain line.
    pub(crate) fn line<'a>(
        &'a self,
        keys: &'a [&'a str],
        queue: i32,
        body: &'a [u8],
    ) -> Message<'a> {
        let mut message = Message::new(self.topic(), body)
            .queue_id(queue)
            .keys(keys)
            .delay_level(self.delay_level)
            .wait_store_ok(self.wait_store_ok);
        message.tag = self.tag.as_deref();
        message
    }
}

/// One object of `--format jsonl`. The last fields say where a message lay that `cat --json`
/// printed; an append gives it a new place, so they are read over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonMessage<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    queue_id: Option<i32>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body_base64: Option<Cow<'a, str>>,
    tags: Option<String>,
    keys: Option<Vec<String>>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    #[serde(default)]
    flag: i32,
    born_timestamp: Option<i64>,
    delay_level: Option<u32>,
    wait_store_ok: Option<bool>,
    #[serde(rename = "physical_offset")]
    _physical_offset: Option<IgnoredAny>,
    #[serde(rename = "queue_offset")]
    _queue_offset: Option<IgnoredAny>,
    #[serde(rename = "store_timestamp")]
    _store_timestamp: Option<IgnoredAny>,
}

impl JsonMessage<'_> {
    /// Reads one line.
    pub(crate) fn parse(line: &[u8]) -> Result<JsonMessage<'_>, String> {
        let message: JsonMessage<'_> = serde_json::from_slice(line)
            .map_err(|error| format!("this is no message object: {error}"))?;
        match (&message.body, &message.body_base64) {
            (Some(_), Some(_)) => Err("body and body_base64 exclude each other".to_owned()),
            (None, None) => Err("a body or body_base64 is missing".to_owned()),
            _ => Ok(message),
        }
    }

    /// Hands the message to `append`; what the object leaves open comes from the command line.
    pub(crate) fn with_message<R>(
        &self,
        shared: &Shared,
        ordinal: u64,
        append: impl FnOnce(&Message<'_>) -> R,
    ) -> Result<R, String> {
        let decoded;
        let body = match (&self.body, &self.body_base64) {
            (_, Some(text)) => {
                decoded = STANDARD
                    .decode(text.as_bytes())
                    .map_err(|error| format!("body_base64 is not base64: {error}"))?;
                decoded.as_slice()
            }
            (Some(text), None) => text.as_bytes(),
            (None, None) => &[],
        };
        let topic = self
            .topic
            .as_deref()
            .or(shared.topic.as_deref())
            .ok_or("the object names no topic, and there is no -t")?;
        let keys: Vec<&str> = match &self.keys {
            Some(keys) => keys.iter().map(String::as_str).collect(),
            None => shared.keys(),
        };
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut message = Message::new(topic, body)
            .queue_id(self.queue_id.unwrap_or_else(|| shared.queue(ordinal)))
            .keys(&keys)
            .properties(&properties)
            .delay_level(self.delay_level.unwrap_or(shared.delay_level))
            .wait_store_ok(self.wait_store_ok.unwrap_or(true) && shared.wait_store_ok);
        message.tag = self.tags.as_deref().or(shared.tag.as_deref());
        message.flag = self.flag;
        message.born_timestamp_ms = self.born_timestamp;
        Ok(append(&message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared {
            topic: Some("T".to_owned()),
            tag: Some("t".to_owned()),
            keys: vec!["k".to_owned()],
            first_queue: 0,
            queues: 3,
            delay_level: 2,
            wait_store_ok: true,
        }
    }

    #[test]
    fn an_object_overrides_the_command_line() {
        let line = br#"{"topic":"A","queue_id":7,"body":"x\ny","tags":"b","keys":["1","2"],
            "properties":{"p":"v"},"flag":-1,"born_timestamp":5,"delay_level":0,
            "wait_store_ok":false}"#;
        let message = JsonMessage::parse(line).unwrap();
        message
            .with_message(&shared(), 4, |message| {
                assert_eq!((message.topic, message.queue_id), ("A", 7));
                assert_eq!(message.body, b"x\ny");
                assert_eq!((message.tag, message.keys), (Some("b"), &["1", "2"][..]));
                assert_eq!(message.properties, [("p", "v")]);
                assert_eq!((message.flag, message.born_timestamp_ms), (-1, Some(5)));
                assert_eq!(message.delay_level, 0);
                assert!(!message.wait_store_ok);
            })
            .unwrap();
    }

    #[test]
    fn what_an_object_leaves_open_comes_from_the_command_line() {
        let message = JsonMessage::parse(br#"{"body_base64":"AP8="}"#).unwrap();
        message
            .with_message(&shared(), 4, |message| {
                assert_eq!((message.topic, message.queue_id), ("T", 1));
                assert_eq!(message.body, [0, 255]);
                assert_eq!((message.tag, message.keys), (Some("t"), &["k"][..]));
                assert_eq!(message.delay_level, 2);
                assert!(message.wait_store_ok);
            })
            .unwrap();
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (line, part) in [
            (&br#"{"body":"x","nope":1}"#[..], "nope"),
            (br#"{"body":"x","body_base64":"eA=="}"#, "exclude"),
            (br#"{"topic":"x"}"#, "missing"),
            (br#"["x"]"#, "no message object"),
        ] {
            let error = JsonMessage::parse(line).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let message = JsonMessage::parse(br#"{"body_base64":"?"}"#).unwrap();
        assert!(message.with_message(&shared(), 0, |_| ()).is_err());
    }
}

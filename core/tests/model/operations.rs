//! What can be done to a store, and how a list of it is made up.

use cairnlog::Filter;
use proptest::prelude::*;

use crate::model::Record;

/// The last one is of inner batches.
pub(crate) const TOPICS: [&str; 4] = ["orders", "a", "pay-events", "batches"];
pub(crate) const BATCHES: usize = TOPICS.len() - 1;
/// Each topic has these queues.
pub(crate) const QUEUES: i32 = 2;
pub(crate) const GROUPS: usize = 4;
/// The second and the third have one hash.
const TAGS: [&str; 4] = ["new", "Aa", "BB", "old"];
const REGIONS: [&str; 3] = ["north", "south", "it's"];
pub(crate) const KEYS: [&str; 5] = ["k0", "k1", "Aa", "BB", "k-4"];

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Append { queue: Queue, content: Content, waits: bool, how: How },
    Many { messages: Vec<(Queue, Content)> },
    Batch { queue: Queue, contents: Vec<Content> },
    InnerBatch { queue_id: i32, shared: Content, count: usize },
    Delay { queue: Queue, content: Content, level: u32 },
    Begin { queue: Queue, content: Content, level: u32 },
    End { which: usize, how: End },
    Refused { queue: Queue },
    Join { group: usize },
    Leave { group: usize, which: usize },
    Poll { group: usize, which: usize, most: usize, fates: u32 },
    CommitOffset { queue: Queue, at: usize },
    Persist,
    Flush,
    ReadLog { at: usize },
    ReadQueue { queue: Queue, from: usize, most: usize, bytes: usize, filter: Wanted },
    Tail { queue: Queue, from: usize, filter: Wanted },
    AtTime { queue: Queue, at: usize, shift: i64 },
    QueryKey { topic: usize, key: usize, most: usize, from: usize, to: usize },
    FindId { at: usize },
    RemoveBefore { at: usize, flushes: bool },
    RemoveExpired,
    Reopen { lost: Lost },
    Kill { lost: Lost, power: Option<Power> },
}

/// How a message is appended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    ByName,
    ByHandle,
    InTwoSteps,
    Async,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
}

/// What is removed from a directory between two openings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) queues: bool,
    pub(crate) index: bool,
    pub(crate) checkpoint: bool,
}

/// A power cut: what reached the disk of the bytes that were not durable, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Power {
    pub(crate) kept: u64,
    /// Which pages of those did not reach it all the same, by the last bits of their number.
    pub(crate) holes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    pub(crate) topic: usize,
    pub(crate) queue_id: i32,
}

impl Queue {
    pub(crate) fn name(self) -> &'static str {
        TOPICS[self.topic]
    }
}

/// What an application puts into a message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) body: Vec<u8>,
    pub(crate) tag: Option<&'static str>,
    pub(crate) key: Option<&'static str>,
    pub(crate) number: Option<String>,
    pub(crate) region: Option<&'static str>,
    /// Whether it has a unique key; set to that key when it is appended.
    pub(crate) unique: Option<String>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.body.split(|byte| *byte == b'.' || *byte == 0).next().unwrap_or_default();
        let start = String::from_utf8_lossy(start);
        let properties = String::from_utf8(self.encoded()).unwrap_or_default();
        let properties = properties.replace('\u{1}', "=").replace('\u{2}', " ");
        write!(f, "({start}, {} bytes, {properties})", self.body.len())
    }
}

impl Content {
    /// The properties that are not tag and key.
    pub(crate) fn properties(&self) -> Vec<(&str, &str)> {
        let number = self.number.iter().map(|number| ("n", number.as_str()));
        let region = self.region.iter().map(|region| ("region", *region));
        let unique = self.unique.iter().map(|unique| ("UNIQ_KEY", unique.as_str()));
        number.chain(region).chain(unique).collect()
    }

    /// All properties as a client encodes those of an item of a batch.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let tag = self.tag.iter().map(|tag| ("TAGS", *tag));
        let key = self.key.iter().map(|key| ("KEYS", *key));
        let all = tag.chain(key).chain(self.properties());
        all.flat_map(|(name, value)| format!("{name}\u{1}{value}\u{2}").into_bytes()).collect()
    }
}

/// A filter, and what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    All,
    Tags(&'static str),
    Above(i64),
    Between(i64, i64),
    In(&'static str),
    NotOrNull(&'static str),
}

impl Wanted {
    pub(crate) fn filter(self) -> Filter {
        let sql = |text: String| Filter::sql(&text).unwrap();
        let quoted = |text: &str| text.replace('\'', "''");
        match self {
            Self::All => Filter::all(),
            Self::Tags(tags) => Filter::tags(tags).unwrap(),
            Self::Above(least) => sql(format!("n > {least}")),
            Self::Between(low, high) => sql(format!("n BETWEEN {low} AND {high}")),
            Self::In(region) => {
                sql(format!("region IN ('{}', 'nowhere') AND TAGS IS NOT NULL", quoted(region)))
            }
            Self::NotOrNull(region) => sql(format!("region <> '{}' OR n IS NULL", quoted(region))),
        }
    }

    /// Whether a message passes, by the meaning of the filter's words.
    pub(crate) fn wants(self, record: &Record) -> bool {
        let content = &record.content;
        let number = content.number.as_ref().map(|number| number.parse::<i64>().unwrap());
        match self {
            Self::All => true,
            Self::Tags(tags) => {
                content.tag.is_some_and(|tag| tags.split("||").any(|wanted| wanted.trim() == tag))
            }
            Self::Above(least) => number.is_some_and(|number| number > least),
            Self::Between(low, high) => {
                number.is_some_and(|number| low <= number && number <= high)
            }
            Self::In(region) => content.region == Some(region) && content.tag.is_some(),
            Self::NotOrNull(region) => {
                content.region.is_some_and(|found| found != region) || number.is_none()
            }
        }
    }
}

fn queues() -> impl Strategy<Value = Queue> {
    (0..BATCHES, 0..QUEUES).prop_map(|(topic, queue_id)| Queue { topic, queue_id })
}

/// Queues of inner batches, too.
fn any_queue() -> impl Strategy<Value = Queue> {
    (0..TOPICS.len(), 0..QUEUES).prop_map(|(topic, queue_id)| Queue { topic, queue_id })
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|at| all[at])
}

fn contents(lengths: impl Strategy<Value = usize>) -> impl Strategy<Value = Content> {
    let tag = prop::option::of(one_of(&TAGS));
    let key = prop::option::of(one_of(&KEYS));
    let number = prop::option::of(-3..10i32).prop_map(|number| number.map(|n| n.to_string()));
    let region = prop::option::of(one_of(&REGIONS));
    (lengths, tag, key, number, region, any::<bool>()).prop_map(
        |(length, tag, key, number, region, unique)| Content {
            body: vec![0; length],
            tag,
            key,
            number,
            region,
            unique: unique.then(String::new),
        },
    )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let tags = one_of(&["new", "Aa", "BB || old", "new||Aa", "none", "new || BB||Aa|| old"]);
    prop_oneof![
        2 => Just(Wanted::All),
        3 => tags.prop_map(Wanted::Tags),
        1 => (-4..11i64).prop_map(Wanted::Above),
        1 => (-4..6i64, 0..6i64).prop_map(|(low, more)| Wanted::Between(low, low + more)),
        1 => one_of(&REGIONS).prop_map(Wanted::In),
        1 => one_of(&REGIONS).prop_map(Wanted::NotOrNull),
    ]
}

fn lost() -> impl Strategy<Value = Lost> {
    let some = (any::<bool>(), any::<bool>(), any::<bool>());
    let some = some.prop_map(|(queues, index, checkpoint)| Lost { queues, index, checkpoint });
    prop_oneof![3 => Just(Lost::default()), 1 => some]
}

fn appends() -> impl Strategy<Value = Operation> {
    let length = || prop_oneof![6 => 1..200usize, 3 => 200..9000usize, 1 => 30_000..60_000usize];
    let how = one_of(&[How::ByName, How::ByHandle, How::InTwoSteps, How::Async]);
    let small = || contents(1..3000usize);
    prop_oneof![
        12 => (queues(), contents(length()), any::<bool>(), how).prop_map(
            |(queue, content, waits, how)| Operation::Append { queue, content, waits, how },
        ),
        3 => prop::collection::vec((queues(), small()), 1..8)
            .prop_map(|messages| Operation::Many { messages }),
        3 => (queues(), prop::collection::vec(small(), 1..6))
            .prop_map(|(queue, contents)| Operation::Batch { queue, contents }),
        3 => (0..QUEUES, contents(1..2usize), 1..5usize).prop_map(|(queue_id, shared, count)| {
            Operation::InnerBatch { queue_id, shared, count }
        }),
        3 => (queues(), small(), 1..=5u32)
            .prop_map(|(queue, content, level)| Operation::Delay { queue, content, level }),
        3 => (queues(), small(), prop_oneof![3 => Just(0), 1 => 1..=4u32])
            .prop_map(|(queue, content, level)| Operation::Begin { queue, content, level }),
        1 => queues().prop_map(|queue| Operation::Refused { queue }),
    ]
}

fn reads() -> impl Strategy<Value = Operation> {
    let any_place = || any::<u16>().prop_map(usize::from);
    prop_oneof![
        1 => any_place().prop_map(|at| Operation::ReadLog { at }),
        3 => (any_queue(), any_place(), 1..40usize, 100..40_000usize, wanted()).prop_map(
            |(queue, from, most, bytes, filter)| {
                Operation::ReadQueue { queue, from, most, bytes, filter }
            },
        ),
        1 => (any_queue(), any_place(), wanted())
            .prop_map(|(queue, from, filter)| Operation::Tail { queue, from, filter }),
        1 => (any_queue(), any_place(), -2..=2i64)
            .prop_map(|(queue, at, shift)| Operation::AtTime { queue, at, shift }),
        1 => (0..TOPICS.len(), 0..KEYS.len(), 0..6usize, any_place(), any_place()).prop_map(
            |(topic, key, most, from, to)| Operation::QueryKey { topic, key, most, from, to },
        ),
        1 => any_place().prop_map(|at| Operation::FindId { at }),
    ]
}

fn consumption() -> impl Strategy<Value = Operation> {
    let place = || 0..8usize;
    prop_oneof![
        3 => (0..GROUPS).prop_map(|group| Operation::Join { group }),
        1 => (0..GROUPS, place()).prop_map(|(group, which)| Operation::Leave { group, which }),
        10 => (0..GROUPS, place(), 1..8usize, any::<u32>()).prop_map(
            |(group, which, most, fates)| Operation::Poll { group, which, most, fates },
        ),
        1 => (any_queue(), any::<u16>())
            .prop_map(|(queue, at)| Operation::CommitOffset { queue, at: usize::from(at) }),
        2 => Just(Operation::Persist),
    ]
}

fn upkeep() -> impl Strategy<Value = Operation> {
    let holes = prop_oneof![Just(0), any::<u32>(), (0..32u32).prop_map(|page| 1 << page)];
    let power = (0..=1000u64, holes).prop_map(|(kept, holes)| Power { kept, holes });
    let power = prop::option::of(power);
    let how = prop_oneof![2 => Just(End::Commit), 1 => Just(End::Rollback)];
    prop_oneof![
        6 => (0..8usize, how).prop_map(|(which, how)| Operation::End { which, how }),
        4 => Just(Operation::Flush),
        2 => (any::<u16>(), any::<bool>())
            .prop_map(|(at, flushes)| Operation::RemoveBefore { at: usize::from(at), flushes }),
        1 => Just(Operation::RemoveExpired),
        2 => lost().prop_map(|lost| Operation::Reopen { lost }),
        3 => (lost(), power).prop_map(|(lost, power)| Operation::Kill { lost, power }),
    ]
}

/// A list of things to do.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![5 => appends(), 2 => reads(), 3 => consumption(), 2 => upkeep()];
    prop::collection::vec(operation, 1..80)
}

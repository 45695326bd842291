//! What is appended, all of it worked out from numbers: a message's *name* tells its body, tag and
//! key, so a checker that reads a name knows every byte that must be there.
//!
//! The hosts in C, Python and Java hold the same rules.

/// The length of the file of random bytes that bodies are cut from.
pub(crate) const PATTERN_BYTES: usize = MAX_PATTERN_OFFSET + MAX_EXTRA_BYTES;
const MAX_PATTERN_OFFSET: usize = 0x8000;
const MAX_EXTRA_BYTES: usize = 0x1000;

/// The topics that are written.
pub(crate) const TOPICS: [&str; 2] = ["crash-even", "crash-odd"];
/// The queues of each topic.
pub(crate) const QUEUES: i32 = 4;

/// The last step of the generator `splitmix64`.
pub(crate) const fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The generator `splitmix64`: short enough to be written in four languages.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 up to, but not including, `limit`, which is not 0.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of several.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let number = self.below(choices.len().max(1) as u64);
        usize::try_from(number).ok().and_then(|at| choices.get(at)).copied().unwrap_or(otherwise)
    }
}

/// Which message of which thread of which life of a store's writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) u64);

impl Name {
    pub(crate) const fn new(life: u32, thread: u8, number: u32) -> Self {
        Self(((life as u64) << 40) | ((thread as u64) << 32) | number as u64)
    }

    /// Life and thread.
    pub(crate) const fn writer(self) -> u64 {
        self.0 >> 32
    }

    /// The message's number among those of its thread, from 0.
    pub(crate) const fn number(self) -> u64 {
        self.0 & 0xFFFF_FFFF
    }

    /// The name that so many further messages of the thread later has.
    pub(crate) const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    pub(crate) fn tag(self) -> &'static str {
        if self.0.is_multiple_of(2) { "even" } else { "odd" }
    }

    /// Whether a message that is not in a batch has a key.
    pub(crate) const fn has_key(self) -> bool {
        (mix(self.0) >> 20) & 3 == 0
    }

    /// The name that a body begins with.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        body.first_chunk::<8>().map(|bytes| Self(u64::from_be_bytes(*bytes)))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (life, thread) = (self.0 >> 40, (self.0 >> 32) & 0xFF);
        write!(f, "message {} of thread {thread} in life {life}", self.number())
    }
}

/// Makes bodies.
#[derive(Debug)]
pub(crate) struct Bodies {
    pattern: Vec<u8>,
}

impl Bodies {
    /// The random bytes that bodies are cut from.
    pub(crate) fn pattern(seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        (0..PATTERN_BYTES / 8).flat_map(|_| random.next().to_be_bytes()).collect()
    }

    pub(crate) fn new(pattern: Vec<u8>) -> Self {
        Self { pattern }
    }

    /// What follows the name in a message's body; one in sixteen is long.
    fn rest(&self, name: Name) -> &[u8] {
        let mixed = mix(name.0);
        let longest = if mixed & 15 == 0 { MAX_EXTRA_BYTES - 1 } else { 0x1FF };
        let length = (mixed >> 8) as usize & longest;
        let offset = (mixed >> 32) as usize & (MAX_PATTERN_OFFSET - 1);
        self.pattern.get(offset..offset + length).unwrap_or_default()
    }

    pub(crate) fn body(&self, name: Name) -> Vec<u8> {
        let mut body = name.0.to_be_bytes().to_vec();
        body.extend_from_slice(self.rest(name));
        body
    }

    /// Whether these bytes are the body of that message.
    pub(crate) fn is_body(&self, name: Name, body: &[u8]) -> bool {
        body.split_first_chunk::<8>()
            .is_some_and(|(begin, rest)| *begin == name.0.to_be_bytes() && rest == self.rest(name))
    }
}

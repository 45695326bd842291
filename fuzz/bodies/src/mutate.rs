//! Inputs made from others by a generator with a seed: less than libFuzzer does, on any compiler.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below another, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }
}

/// What is written over a place of an input.
const WORDS: [&[u8]; 10] = [
    &[0xFF; 4],
    &[0x7F, 0xFF, 0xFF, 0xFF],
    &[0x80, 0, 0, 0],
    &[0; 8],
    &[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0xDA, 0xA3, 0x20, 0xA7],
    &[0xCB, 0xD4, 0x31, 0x94],
    b"TAGS\x01",
    b"\x02__CRC32#\x01",
    b"{\"offsetTable\":",
];
/// No input gets longer.
const MAX_BYTES: usize = 4096;

/// An input made from one of `seeds`: changed in a few places, or put together of two.
#[must_use]
pub fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        change(random, seeds, &mut input);
    }
    input.truncate(MAX_BYTES);
    input
}

fn change(random: &mut Random, seeds: &[Vec<u8>], input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let length = random.below(16) + 1;
    match (random.below(8), input.get_mut(at)) {
        (0, Some(byte)) => *byte ^= 1 << random.below(8),
        (1, Some(byte)) => *byte = random.number() as u8,
        (2, Some(byte)) => *byte = byte.wrapping_add(1 + 254 * random.below(2) as u8),
        (3, Some(_)) => {
            input.drain(at..input.len().min(at + length));
        }
        (4, Some(_)) => {
            let again = input[at..input.len().min(at + length)].to_vec();
            input.splice(at..at, again);
        }
        (5, _) => {
            let word = WORDS[random.below(WORDS.len())];
            let end = input.len().min(at + word.len());
            input.splice(at..end, word.iter().copied());
        }
        (6, _) => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let new: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
            input.splice(at..at, new);
        }
    }
}

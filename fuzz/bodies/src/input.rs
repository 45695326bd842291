//! An input, from which numbers, bytes and text are taken until nothing is left.

/// Numbers at which something ends.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    7,
    20,
    46,
    91,
    127,
    128,
    255,
    4096,
    32_767,
    32_768,
    65_535,
    65_536,
    i32::MAX as u64,
    i32::MAX as u64 + 1,
    u32::MAX as u64,
    i64::MAX as u64 / 46,
    i64::MAX as u64 / 20,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// The rest of an input. Where it has ended there are zeros.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// The whole input.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next bytes, fewer if the input ends.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// Some bytes, as many as the next byte says.
    pub fn some_bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8());
        self.bytes(length)
    }

    /// Some text; bytes that are no UTF-8 are replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.some_bytes()).into_owned()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// A number below another, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        if end <= 256 {
            return usize::from(self.u8()) % end;
        }
        u32::from_le_bytes(self.array()) as usize % end
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// One of some values.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// A number of any size: most are small, or lie where something ends.
    pub fn number(&mut self) -> u64 {
        match self.u8() {
            small @ 0..=99 => u64::from(small),
            edge @ 100..=195 => {
                EDGES[usize::from(edge - 100) % EDGES.len()].wrapping_sub(u64::from(edge / 172))
            }
            196..=225 => u64::from(u16::from_le_bytes(self.array())),
            226..=240 => u64::from(u32::from_le_bytes(self.array())),
            241..=255 => u64::from_le_bytes(self.array()),
        }
    }

    /// As [`Input::number`], cut to what is asked for.
    pub fn i32(&mut self) -> i32 {
        (self.number() as u32).cast_signed()
    }

    /// As [`Input::number`], signed.
    pub fn i64(&mut self) -> i64 {
        self.number().cast_signed()
    }
}

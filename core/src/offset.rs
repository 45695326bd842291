//! The two kinds of offset, as types of their own so that they cannot be swapped.

use std::fmt;

macro_rules! offset_type {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// Makes the offset; values from 2^63 on cannot be stored and are held at the largest
            /// that can.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                if value > i64::MAX as u64 { Self(i64::MAX as u64) } else { Self(value) }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number as the signed 64-bit integer of the file format.
            #[must_use]
            pub const fn to_i64(self) -> i64 {
                self.0.cast_signed()
            }

            /// The offset of a stored or passed signed number; `None` if it is negative.
            #[must_use]
            pub const fn from_i64(value: i64) -> Option<Self> {
                if value < 0 { None } else { Some(Self(value.cast_unsigned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

offset_type! {
    /// A position in the commit log in bytes, counted from the first byte ever written to it.
    PhysicalOffset
}
offset_type! {
    /// The index of a message inside one (topic, queue), counted from zero.
    QueueOffset
}

//! What is done with an input, and what has to hold whatever the input is. libFuzzer calls these
//! functions (`targets/`), and so do the tests (`tests/`), on a stable compiler.
//!
//! A target is a module with a function `run`. It panics when something does not hold. An input is
//! a script: numbers and bytes are taken from its beginning ([`input::Input`]), and where it ends
//! there are zeros, so every input means something.

pub mod abi;
pub mod batch;
pub mod filter;
pub mod image;
pub mod input;
pub mod mutate;
pub mod opening;
pub mod panics;
pub mod properties;
pub mod queues;
pub mod record;
pub mod recovery;
pub mod scratch;
pub mod state;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("abi", abi::run),
    ("batch", batch::run),
    ("filter", filter::run),
    ("properties", properties::run),
    ("queues", queues::run),
    ("record", record::run),
    ("recovery", recovery::run),
    ("state", state::run),
];

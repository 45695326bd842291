//! One file or directory per command.

pub(crate) mod append;
pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod inspect;
pub(crate) mod recover;
pub(crate) mod verify;

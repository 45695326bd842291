//! One file or directory per command.

pub(crate) mod append;
pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod consume;
pub(crate) mod delays;
pub(crate) mod groups;
pub(crate) mod inspect;
pub(crate) mod query;
pub(crate) mod recover;
pub(crate) mod retain;
pub(crate) mod topics;
pub(crate) mod verify;

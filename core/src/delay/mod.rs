//! Delayed messages: they wait in a topic of their own, one queue per delay level, until their time
//! has come and they are put into the queue they are meant for.
//!
//! 1. Whether a message is delayed is decided from the request: the stored copy that is delivered
//!    keeps all properties, the level among them, and is not delayed again.
//! 2. Messages of a level are delivered in order and at least once: an offset moves after the put,
//!    and is stored only when the log is durable that far.
//! 3. What cannot be put now is tried again and holds its level up; what can never be put is passed
//!    over and counted. Either stays in the log, as long as retention lets it.

mod levels;
mod service;

pub(crate) use levels::{DEFAULT_DELAY_LEVELS, DelayLevels, SCHEDULE_TOPIC};
pub(crate) use service::{Redeliver, ScheduleMessageService, ScheduleParts};

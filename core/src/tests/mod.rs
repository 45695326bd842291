//! What the store does on a disk that fails, a directory that is damaged and a clock that jumps.
//!
//! A test named for a defect (F1 to F16, R1 to R12) holds the store against one that RocketMQ's
//! Java implementation has; the comment above it tells the story.

mod closing;
mod delay;
mod disk_full;
mod failed_sync;
mod fault_disk;
mod faults;
mod following;
mod foreign_files;
mod group_commit;
mod impossible;
mod index;
mod limits;
mod many;
mod next_offsets;
mod panics;
mod parallel_recovery;
mod pins;
mod pool;
mod powercut;
mod recovery;
mod reencode;
mod retention;
mod retention_rounds;
mod scene;
mod staging;
mod standing_in;
mod state_crashes;
mod state_files;
mod time;
mod transaction_checks;
mod transactions;
mod tried_again;
mod unwaited;

//! Recovery: opening any directory.

use cairnlog::{DamagePolicy, FlushMode, StoreOptions};

use crate::input::Input;
use crate::opening::open_twice;
use crate::{image, scratch};

/// Builds a directory and opens it.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let options = options(&mut input);
    let image = image::build(&mut input, &["", "commitlog/", "config/", "consumequeue/", "index/"]);
    let directory = scratch::directory();
    image.write(directory.path());
    let _ = open_twice(directory.path(), &options);
}

/// Options that keep files small, and the rest as the input says.
pub fn options(input: &mut Input<'_>) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 65_536;
    options.reserve_ahead_bytes = 1 << 20;
    options.consume_queue_file_size_bytes = 2000;
    options.batch_consume_queue_file_size_bytes = 460;
    options.max_hash_slot_num = 100;
    options.max_index_num = 400;
    let bits = input.u8();
    let bit = |number: u8| bits & (1 << number) != 0;
    options.damage_policy = if bit(0) { DamagePolicy::Truncate } else { DamagePolicy::Refuse };
    options.flush_mode = if bit(1) { FlushMode::Sync } else { FlushMode::Async };
    options.check_crc_on_recover = !bit(2);
    options.schedule_enable = bit(3);
    options.message_index_enable = !bit(4);
    options.consume_queue_enable = !(bit(5) && bit(6));
    options.append_record_crc = bit(7);
    options
}

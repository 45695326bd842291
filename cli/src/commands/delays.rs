//! `delays`: the delayed messages that wait, by level.

use std::collections::{BTreeMap, BTreeSet};

use cairnlog::StoreOptions;
use serde::Serialize;

use crate::arguments::Delays;
use crate::failure::{Failure, Outcome};
use crate::formats::delay_offsets;
use crate::open;
use crate::output::{Output, or_dash};
use crate::queue_reader::QueueReader;

/// The topic that delayed messages wait in; its queue is the delay level less one.
pub(crate) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// Runs the command.
pub(crate) fn run(command: &Delays, options: &StoreOptions) -> Outcome {
    let delays = delays_ms(&options.message_delay_level)?;
    let offsets = delay_offsets::read(&command.dir)?;
    let mut reader = open::queues(&command.dir, options)?;
    let mut levels: BTreeSet<i32> = delays.keys().chain(offsets.keys()).copied().collect();
    let queues = reader.queues()?;
    levels.extend(
        queues.iter().filter(|(topic, _)| topic == SCHEDULE_TOPIC).map(|(_, queue)| queue + 1),
    );
    let mut output = Output::new();
    if !command.json {
        output.line("level delay_ms next_offset waiting next_due")?;
    }
    for level in levels {
        let mut line = LevelLine {
            level,
            delay_ms: delays.get(&level).copied(),
            next_offset: offsets.get(&level).copied(),
            waiting: 0,
            next_due: None,
        };
        line.fill(&mut reader)?;
        if command.json {
            output.json(&line)?;
        } else {
            output.line(line.text())?;
        }
    }
    output.flush()
}

/// The delay of each level, counted from 1, out of a list such as `1s 5s 2m 1h 1d`.
fn delays_ms(list: &str) -> Result<BTreeMap<i32, u64>, Failure> {
    let mut delays = BTreeMap::new();
    for (level, text) in (1..).zip(list.split_ascii_whitespace()) {
        let delay = delay_ms(text).ok_or_else(|| {
            let why = format!("expected a number and one of s, m, h and d, found {text:?}");
            Failure::failed("message_delay_level", why)
        })?;
        delays.insert(level, delay);
    }
    Ok(delays)
}

fn delay_ms(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    Some(u64::from(number) * seconds * 1000)
}

#[derive(Debug, Serialize)]
struct LevelLine {
    level: i32,
    delay_ms: Option<u64>,
    next_offset: Option<u64>,
    waiting: u64,
    next_due: Option<i64>,
}

impl LevelLine {
    /// Looks into the level's queue. Without a stored offset all that is there waits.
    fn fill(&mut self, reader: &mut QueueReader) -> Outcome {
        let queue_id = self.level - 1;
        let Some(range) = reader.queue_range(SCHEDULE_TOPIC, queue_id)? else {
            return Ok(());
        };
        let next = self.next_offset.unwrap_or(0).max(range.start);
        self.waiting = range.end.saturating_sub(next);
        if self.waiting > 0 {
            self.next_due = reader.unit(SCHEDULE_TOPIC, queue_id, next)?.map(|unit| unit.tags_code);
        }
        Ok(())
    }

    fn text(&self) -> String {
        format!(
            "{} {} {} {} {}",
            self.level,
            or_dash(self.delay_ms),
            or_dash(self.next_offset),
            self.waiting,
            or_dash(self.next_due),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_rocketmq_s_units() {
        let delays = delays_ms("1s 2m  3h 4d").unwrap();
        assert_eq!(
            delays.values().copied().collect::<Vec<_>>(),
            [1_000, 120_000, 10_800_000, 345_600_000]
        );
        for text in ["s", "1", "1x", "-1s", "1.5s"] {
            assert!(delays_ms(text).is_err(), "{text}");
        }
    }
}

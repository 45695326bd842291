//! The queues of a store that another process writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::Followed;
use super::{
    ConsumeQueue, ConsumeQueues, FoundQueue, Place, for_each_queue, look_at, names_a_directory,
};
use crate::error::Result;
use crate::state::QueueKind;

/// How far the log of such a store can be read.
pub(crate) trait ReadableLog {
    /// Where it begins.
    fn min(&self) -> u64;
    /// Looks for what was added, and tells where it ends.
    fn end_now(&self) -> u64;
}

impl ConsumeQueues {
    /// Looks whether a queue came, grew, was built again or lost files; `anew` takes in all files
    /// that there are. Returns it if it has had messages.
    pub(crate) fn follow(
        &self,
        topic: &str,
        queue_id: i32,
        anew: bool,
        log: &dyn ReadableLog,
    ) -> Result<Option<Arc<ConsumeQueue>>> {
        if !names_a_directory(topic) || queue_id < 0 {
            return Ok(None);
        }
        if let Some(known) = self.find(topic, queue_id) {
            let followed = known.follow(log.min(), &|| log.end_now());
            if (passing(followed)? == Some(Followed::Changed) || anew)
                && let Some(found) = self.look(topic, queue_id)?
                && found.place.kind == known.kind()
                && found.place.file_bytes == known.file_bytes()
            {
                passing(known.reload(found.starts, log.min(), log.end_now()))?;
            }
            return Ok(Some(known));
        }
        let Some(found) = self.look(topic, queue_id)? else {
            return Ok(None);
        };
        let queue = self.make(found, Arc::default());
        let ranged = passing(queue.find_range(log.min(), log.end_now()))?;
        if ranged.is_none() || !queue.exists() {
            return Ok(None);
        }
        let mut table = self.table.write();
        if table.find(topic, queue_id).is_none() {
            self.take_in(&mut table, Arc::new(queue));
        }
        Ok(table.find(topic, queue_id).cloned())
    }

    /// Looks for queues that came.
    pub(crate) fn follow_all(&self, log: &dyn ReadableLog) -> Result<()> {
        for kind in QueueKind::ALL {
            let root = self.store_path.join(kind.directory());
            for_each_queue(&*self.shared.disk, &root, |topic, queue_id, _| {
                if self.find(topic, queue_id).is_none() {
                    self.follow(topic, queue_id, false, log)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The files of a queue; none while they are no queue's, as one that is just being made.
    ///
    /// A directory that files are made in while it is listed may show a later file and not an
    /// earlier one. So it is listed twice: the second time shows all files in front of those that
    /// the first time showed, and what is behind them is left for the next look.
    fn look(&self, topic: &str, queue_id: i32) -> Result<Option<FoundQueue>> {
        for kind in QueueKind::ALL {
            let root = self.store_path.join(kind.directory());
            let directory = root.join(topic).join(queue_id.to_string());
            let list = || {
                let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
                let place = Place { serial, kind, directory: directory.clone(), file_bytes: 0 };
                let found = passing(look_at(&*self.shared.disk, topic, queue_id, place))?;
                Ok(found.flatten().and_then(std::result::Result::ok))
            };
            let Some(newest) = list()?.and_then(|found| found.starts.last().copied()) else {
                continue;
            };
            if let Some(mut found) = list()? {
                found.starts.retain(|start| *start <= newest);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// What was found; `None` if a file was removed while it was looked at.
fn passing<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

//! The state of one consumer group: its members, and how far each queue has come.
//!
//! 1. A queue is *assigned* to one member, by the average allocation over all members that
//!    subscribe to its topic. It is *owned* by the member that has messages of it in hand; another
//!    member gets it only when none is left in hand, or the owner has gone.
//! 2. What is committed of a queue is the first index in hand, or the next one to be read: a
//!    message that nobody completed is always read again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::allocate::share;
use crate::filter::Filter;

/// A member of a group, in the order of joining.
pub(super) type MemberId = u64;
/// A queue: its topic and number.
pub(super) type QueueKey = (String, i32);

/// How messages of one queue are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumeOrder {
    /// Several at the same time.
    Concurrent,
    /// The next batch only when the one before is completed.
    Orderly,
}

/// A consumer of the group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) topics: BTreeMap<String, Filter>,
    pub(super) order: ConsumeOrder,
    /// The queue that was handed out last: the others come before it again.
    last: Option<QueueKey>,
}

/// How far a queue has come.
#[derive(Debug)]
struct Progress {
    next: u64,
    /// Messages in hand, and since when.
    in_hand: BTreeMap<u64, Instant>,
    assigned: Option<MemberId>,
    owner: Option<MemberId>,
    /// A read is under way.
    reading: bool,
    paused_until: Option<Instant>,
    /// How often the message at this index failed, in an orderly queue.
    failures: (u64, u32),
}

impl Progress {
    fn committed(&self) -> u64 {
        self.in_hand.first_key_value().map_or(self.next, |(index, _)| *index)
    }

    /// Gives everything in hand back: it is read again.
    fn rewind(&mut self) {
        self.next = self.committed();
        self.in_hand.clear();
        self.owner = None;
    }

    fn release_if_done(&mut self) {
        if self.in_hand.is_empty() && !self.reading {
            self.owner = None;
        }
    }
}

/// A queue that a member may read from now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) queue: QueueKey,
    pub(super) next: u64,
    /// Messages that may be taken.
    pub(super) room: usize,
}

/// What bounds the messages in hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_in_hand: usize,
    pub(super) consume_timeout: Duration,
}

/// The members of a group and their queues.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    members: BTreeMap<MemberId, Member>,
    next_member: MemberId,
    queues: BTreeMap<QueueKey, Progress>,
    /// Counts the changes that may let a member read what it could not before.
    generation: u64,
}

/// What became of a completed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    /// The member does not have it in hand (any more).
    NotInHand,
    /// It is done.
    Done,
    /// It is done, and somebody can read the queue now who could not before.
    Freed,
}

impl GroupState {
    /// Takes in a member.
    pub(super) fn join(
        &mut self,
        topics: BTreeMap<String, Filter>,
        order: ConsumeOrder,
    ) -> MemberId {
        let id = self.next_member;
        self.next_member += 1;
        self.members.insert(id, Member { topics, order, last: None });
        self.assign();
        id
    }

    /// Lets a member go; what it has in hand is read again by others.
    pub(super) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        for progress in self.queues.values_mut() {
            if progress.owner == Some(member) {
                progress.rewind();
                progress.reading = false;
            }
        }
        self.assign();
    }

    /// Whether nobody is in the group.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The topics that members subscribe to.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> =
            self.members.values().flat_map(|member| member.topics.keys().cloned()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Whether a queue is known.
    pub(super) fn knows(&self, queue: &QueueKey) -> bool {
        self.queues.contains_key(queue)
    }

    /// Takes in a queue, of which `next` is to be read first. [`GroupState::assign`] is due.
    pub(super) fn add_queue(&mut self, queue: QueueKey, next: u64) {
        self.queues.entry(queue).or_insert(Progress {
            next,
            in_hand: BTreeMap::new(),
            assigned: None,
            owner: None,
            reading: false,
            paused_until: None,
            failures: (0, 0),
        });
    }

    /// Divides the queues among the members.
    pub(super) fn assign(&mut self) {
        let mut by_topic: BTreeMap<String, Vec<QueueKey>> = BTreeMap::new();
        for queue in self.queues.keys() {
            by_topic.entry(queue.0.clone()).or_default().push(queue.clone());
        }
        for progress in self.queues.values_mut() {
            progress.assigned = None;
        }
        for (topic, queues) in by_topic {
            let subscribers: Vec<MemberId> = self
                .members
                .iter()
                .filter(|(_, member)| member.topics.contains_key(&topic))
                .map(|(id, _)| *id)
                .collect();
            for (position, member) in subscribers.iter().enumerate() {
                for queue in share(&queues, position, subscribers.len()) {
                    if let Some(progress) = self.queues.get_mut(queue) {
                        progress.assigned = Some(*member);
                    }
                }
            }
        }
        self.generation += 1;
    }

    /// Counts the changes that may let a member read what it could not before.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The queues assigned to a member.
    pub(super) fn assigned(&self, member: MemberId) -> Vec<QueueKey> {
        let mine = |(_, progress): &(&QueueKey, &Progress)| progress.assigned == Some(member);
        self.queues.iter().filter(mine).map(|(queue, _)| queue.clone()).collect()
    }

    /// The queues a member may read from now, the one it had last at the end.
    pub(super) fn candidates(
        &mut self,
        member: MemberId,
        bounds: Bounds,
        now: Instant,
    ) -> Vec<QueueKey> {
        let Some(state) = self.members.get(&member) else {
            return Vec::new();
        };
        let (order, last) = (state.order, state.last.clone());
        let mut ready = Vec::new();
        for (queue, progress) in &mut self.queues {
            let oldest = progress.in_hand.values().min();
            if oldest.is_some_and(|since| now.duration_since(*since) >= bounds.consume_timeout) {
                progress.rewind();
            }
            let mine = progress.assigned == Some(member)
                && progress.owner.is_none_or(|owner| owner == member);
            let paused = progress.paused_until.is_some_and(|until| until > now);
            let room = match order {
                ConsumeOrder::Orderly => progress.in_hand.is_empty(),
                ConsumeOrder::Concurrent => progress.in_hand.len() < bounds.max_in_hand,
            };
            if mine && room && !paused && !progress.reading {
                ready.push(queue.clone());
            }
        }
        if let Some(last) = last {
            let behind = ready.partition_point(|queue| *queue <= last);
            ready.rotate_left(behind);
        }
        ready
    }

    /// When the first paused queue of a member goes on.
    pub(super) fn paused_until(&self, member: MemberId, now: Instant) -> Option<Instant> {
        let mine = self.queues.values().filter(|progress| progress.assigned == Some(member));
        mine.filter_map(|progress| progress.paused_until).filter(|until| *until > now).min()
    }

    /// Begins a read, if the queue is still free for the member.
    pub(super) fn begin_read(
        &mut self,
        member: MemberId,
        queue: &QueueKey,
        bounds: Bounds,
    ) -> Option<Turn> {
        let progress = self.queues.get_mut(queue)?;
        let free = progress.owner.is_none_or(|owner| owner == member);
        let room = bounds.max_in_hand.saturating_sub(progress.in_hand.len());
        if progress.assigned != Some(member) || !free || progress.reading || room == 0 {
            return None;
        }
        progress.reading = true;
        progress.owner = Some(member);
        Some(Turn { queue: queue.clone(), next: progress.next, room })
    }

    /// Ends a read that began at `turn.next`: messages at `indexes` are in hand now, `next` is to
    /// be read next. False if the queue was taken away meanwhile: nothing is in hand then.
    pub(super) fn end_read(
        &mut self,
        member: MemberId,
        turn: &Turn,
        indexes: &[u64],
        next: u64,
        now: Instant,
    ) -> bool {
        let Some(progress) = self.queues.get_mut(&turn.queue) else {
            return false;
        };
        if progress.owner != Some(member) || !progress.reading || progress.next != turn.next {
            return false;
        }
        progress.reading = false;
        progress.next = next;
        progress.in_hand.extend(indexes.iter().map(|index| (*index, now)));
        progress.release_if_done();
        if !indexes.is_empty()
            && let Some(member) = self.members.get_mut(&member)
        {
            member.last = Some(turn.queue.clone());
        }
        true
    }

    /// A message was dealt with.
    pub(super) fn complete(
        &mut self,
        member: MemberId,
        queue: &QueueKey,
        index: u64,
        bounds: Bounds,
    ) -> Completed {
        let order = self.members.get(&member).map(|member| member.order);
        let Some(progress) = self.queues.get_mut(queue) else {
            return Completed::NotInHand;
        };
        let was_full = progress.in_hand.len() >= bounds.max_in_hand;
        if progress.owner != Some(member) || progress.in_hand.remove(&index).is_none() {
            return Completed::NotInHand;
        }
        progress.release_if_done();
        let waited_for = progress.assigned != Some(member) || order == Some(ConsumeOrder::Orderly);
        if was_full || waited_for && progress.in_hand.is_empty() {
            self.generation += 1;
            return Completed::Freed;
        }
        Completed::Done
    }

    /// Whether the member has a message in hand.
    pub(super) fn has_in_hand(&self, member: MemberId, queue: &QueueKey, index: u64) -> bool {
        let progress = self.queues.get(queue).filter(|progress| progress.owner == Some(member));
        progress.is_some_and(|progress| progress.in_hand.contains_key(&index))
    }

    /// An orderly message failed: it is read again after a pause. Returns how often it has failed
    /// now; 0 if the member does not have it in hand.
    pub(super) fn fail_orderly(
        &mut self,
        member: MemberId,
        queue: &QueueKey,
        index: u64,
        until: Instant,
    ) -> u32 {
        if !self.has_in_hand(member, queue, index) {
            return 0;
        }
        let Some(progress) = self.queues.get_mut(queue) else {
            return 0;
        };
        // Those behind it wait for it, too.
        progress.in_hand.retain(|in_hand, _| *in_hand < index);
        progress.next = index;
        progress.paused_until = Some(until);
        let before = if progress.failures.0 == index { progress.failures.1 } else { 0 };
        progress.failures = (index, before + 1);
        progress.release_if_done();
        self.generation += 1;
        before + 1
    }

    /// The failed message that would be read next is not read again: the next is the one `behind`
    /// it. What is in hand in front of it stays there. Returns what is committed of the queue.
    pub(super) fn pass_over(&mut self, queue: &QueueKey, index: u64, behind: u64) -> Option<u64> {
        let progress = self.queues.get_mut(queue)?;
        if progress.next == index {
            progress.next = behind;
            // A read that is under way began with it.
            progress.reading = false;
            progress.release_if_done();
        }
        self.generation += 1;
        Some(progress.committed())
    }

    /// Sets what is read next, whatever is in hand.
    pub(super) fn seek(&mut self, queue: &QueueKey, next: u64) -> bool {
        let Some(progress) = self.queues.get_mut(queue) else {
            return false;
        };
        progress.in_hand.clear();
        progress.reading = false;
        progress.owner = None;
        progress.next = next;
        self.generation += 1;
        true
    }

    /// What is committed of a queue.
    pub(super) fn committed(&self, queue: &QueueKey) -> Option<u64> {
        self.queues.get(queue).map(Progress::committed)
    }

    /// The filter of a member for a topic.
    pub(super) fn filter(&self, member: MemberId, topic: &str) -> Option<Filter> {
        self.members.get(&member)?.topics.get(topic).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { max_in_hand: 10, consume_timeout: Duration::from_secs(60) };

    fn group(queues: i32, members: u64, order: ConsumeOrder) -> GroupState {
        let mut group = GroupState::default();
        for id in 0..queues {
            group.add_queue(("t".to_owned(), id), 0);
        }
        for _ in 0..members {
            group.join(BTreeMap::from([("t".to_owned(), Filter::all())]), order);
        }
        group
    }

    fn read(group: &mut GroupState, member: MemberId, count: u64, now: Instant) -> Vec<QueueKey> {
        let ready = group.candidates(member, BOUNDS, now);
        for queue in &ready {
            let turn = group.begin_read(member, queue, BOUNDS).unwrap();
            let indexes: Vec<_> = (turn.next..turn.next + count).collect();
            assert!(group.end_read(member, &turn, &indexes, turn.next + count, now));
        }
        ready
    }

    #[test]
    fn a_queue_changes_hands_only_when_nothing_of_it_is_in_hand() {
        let now = Instant::now();
        let mut group = group(2, 1, ConsumeOrder::Concurrent);
        assert_eq!(read(&mut group, 0, 3, now).len(), 2);
        let second =
            group.join(BTreeMap::from([("t".to_owned(), Filter::all())]), ConsumeOrder::Concurrent);
        let moved = group.assigned(second);
        assert_eq!(moved, [("t".to_owned(), 1)]);
        assert!(group.candidates(second, BOUNDS, now).is_empty(), "the first still has messages");
        for index in [1, 0] {
            assert_ne!(group.complete(0, &moved[0], index, BOUNDS), Completed::NotInHand);
        }
        assert_eq!(group.committed(&moved[0]), Some(2));
        assert!(group.candidates(second, BOUNDS, now).is_empty());
        assert_ne!(group.complete(0, &moved[0], 2, BOUNDS), Completed::NotInHand);
        assert_eq!(group.complete(0, &moved[0], 2, BOUNDS), Completed::NotInHand, "once");
        assert_eq!(group.candidates(second, BOUNDS, now), moved);
        // The first leaves: what it had in hand is read again, by the second.
        group.leave(0);
        assert_eq!(group.assigned(second).len(), 2);
        assert_eq!(group.committed(&("t".to_owned(), 0)), Some(0));
        assert_eq!(group.candidates(second, BOUNDS, now).len(), 2);
    }

    #[test]
    fn committed_is_the_first_that_is_not_completed() {
        let now = Instant::now();
        let mut group = group(1, 1, ConsumeOrder::Concurrent);
        let queue = ("t".to_owned(), 0);
        read(&mut group, 0, 4, now);
        for (index, committed) in [(2, 0), (0, 1), (3, 1), (1, 4)] {
            assert_ne!(group.complete(0, &queue, index, BOUNDS), Completed::NotInHand);
            assert_eq!(group.committed(&queue), Some(committed));
        }
        // What nobody completes in time is read again.
        read(&mut group, 0, 2, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(group.candidates(0, BOUNDS, later), std::slice::from_ref(&queue));
        assert_eq!(group.begin_read(0, &queue, BOUNDS).unwrap().next, 4);
        assert_eq!(
            group.complete(0, &queue, 4, BOUNDS),
            Completed::NotInHand,
            "it is no longer in hand"
        );
    }

    #[test]
    fn an_orderly_queue_waits_for_its_message() {
        let now = Instant::now();
        let mut group = group(1, 1, ConsumeOrder::Orderly);
        let queue = ("t".to_owned(), 0);
        read(&mut group, 0, 3, now);
        assert!(group.candidates(0, BOUNDS, now).is_empty());
        assert_eq!(group.complete(0, &queue, 0, BOUNDS), Completed::Done);
        let until = now + Duration::from_secs(1);
        for failures in 1..=2 {
            assert_eq!(group.fail_orderly(0, &queue, 1, until), failures);
            assert_eq!(group.fail_orderly(0, &queue, 1, until), 0, "not in hand");
            assert!(group.candidates(0, BOUNDS, now).is_empty(), "paused");
            assert_eq!(group.paused_until(0, now), Some(until));
            assert_eq!(group.committed(&queue), Some(1));
            read(&mut group, 0, 1, until);
        }
        // A read that began before a seek hands out nothing.
        assert_eq!(group.complete(0, &queue, 1, BOUNDS), Completed::Freed);
        let turn = group.begin_read(0, &queue, BOUNDS).unwrap();
        group.seek(&queue, 0);
        assert!(!group.end_read(0, &turn, &[2], 3, now));
        assert_eq!(group.committed(&queue), Some(0));
    }

    #[test]
    fn a_message_that_is_given_up_leaves_those_in_front_of_it_in_hand() {
        let now = Instant::now();
        let mut group = group(1, 1, ConsumeOrder::Orderly);
        let queue = ("t".to_owned(), 0);
        read(&mut group, 0, 3, now);
        assert_eq!(group.fail_orderly(0, &queue, 1, now), 1);
        assert_eq!(group.pass_over(&queue, 1, 2), Some(0), "the first is still in hand");
        assert!(group.candidates(0, BOUNDS, now).is_empty());
        assert_eq!(group.complete(0, &queue, 0, BOUNDS), Completed::Freed);
        assert_eq!(group.committed(&queue), Some(2));
        assert_eq!(group.begin_read(0, &queue, BOUNDS).unwrap().next, 2);
        // A read of what is given up meanwhile hands out nothing.
        assert_eq!(group.pass_over(&queue, 2, 3), Some(3));
        let turn = Turn { queue: queue.clone(), next: 2, room: 9 };
        assert!(!group.end_read(0, &turn, &[2], 3, now));
    }

    #[test]
    fn queues_take_turns_and_bounds_hold() {
        let now = Instant::now();
        let mut group = group(3, 1, ConsumeOrder::Concurrent);
        let ids = |queues: Vec<QueueKey>| queues.iter().map(|queue| queue.1).collect::<Vec<_>>();
        let one = |group: &mut GroupState| {
            let queue = group.candidates(0, BOUNDS, now)[0].clone();
            let turn = group.begin_read(0, &queue, BOUNDS).unwrap();
            assert!(group.begin_read(0, &queue, BOUNDS).is_none(), "one read at a time");
            assert!(group.end_read(0, &turn, &[turn.next], turn.next + 1, now));
            queue.1
        };
        assert_eq!([one(&mut group), one(&mut group), one(&mut group)], [0, 1, 2]);
        assert_eq!(ids(group.candidates(0, BOUNDS, now)), [0, 1, 2]);
        let bounds = Bounds { max_in_hand: 1, ..BOUNDS };
        assert!(group.candidates(0, bounds, now).is_empty());
    }
}

//! Who consumes which queue.

/// The part of `queues` that falls to the member at `position` of `members`: RocketMQ's average
/// allocation. Consecutive queues go to one member, and the first members get one more when they
/// do not divide evenly.
pub(super) fn share<T>(queues: &[T], position: usize, members: usize) -> &[T] {
    if members == 0 || position >= members {
        return &[];
    }
    let (each, more) = (queues.len() / members, queues.len() % members);
    let start = position * each + position.min(more);
    let count = each + usize::from(position < more);
    queues.get(start..start + count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn queues_are_divided_as_rocketmq_does() {
        let queues: Vec<u32> = (0..8).collect();
        let of = |members: usize| -> Vec<Vec<u32>> {
            (0..members).map(|position| share(&queues, position, members).to_vec()).collect()
        };
        assert_eq!(of(1), [vec![0, 1, 2, 3, 4, 5, 6, 7]]);
        assert_eq!(of(2), [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
        assert_eq!(of(3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(of(5), [vec![0, 1], vec![2, 3], vec![4, 5], vec![6], vec![7]]);
        let ten = of(10);
        assert_eq!(ten.concat(), queues);
        assert!(ten[8].is_empty() && ten[9].is_empty());
        assert!(share(&queues, 3, 2).is_empty());
        assert!(share::<u32>(&[], 0, 2).is_empty());
    }
}

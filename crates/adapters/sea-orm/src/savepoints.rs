//! Which savepoints of a transaction are open.

/// The savepoints of one transaction, by number, the innermost last. A nested transaction that is dropped cannot wait for the server: what it
/// leaves is undone in front of the next statement. Undone twice is undone: a call for it may be given up.
#[derive(Debug, Default)]
pub(crate) struct Savepoints {
    made: u64,
    open: Vec<u64>,
    /// To be rolled back to before anything else.
    undo: Option<u64>,
}

impl Savepoints {
    /// A number that no other savepoint of the transaction has.
    pub(crate) const fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// The server has it now.
    pub(crate) fn opened(&mut self, number: u64) {
        self.open.push(number);
    }

    /// Whether what ran since then still counts, should the whole be committed.
    pub(crate) fn is_open(&self, number: u64) -> bool {
        self.open.contains(&number)
    }

    /// Those inside of it which nobody has ended, from the outermost of them on, were not committed. Of the transaction itself: all that are.
    pub(crate) fn left_inside(&self, of: Option<u64>) -> Option<u64> {
        let inside = match of {
            Some(number) => self.open.iter().position(|open| *open == number)? + 1,
            None => 0,
        };
        self.open.get(inside).copied()
    }

    /// It is over, and with it all that are inside of it.
    pub(crate) fn over(&mut self, number: u64) {
        if let Some(at) = self.open.iter().position(|open| *open == number) {
            self.open.truncate(at);
        }
    }

    /// It was dropped: has it undone.
    pub(crate) fn dropped(&mut self, number: u64) {
        if self.is_open(number) {
            self.over(number);
            // What lies inside of another is undone with it.
            self.undo = Some(self.undo.map_or(number, |undo| undo.min(number)));
        }
    }

    /// What has to be undone first. It counts as undone when the server [says so](Self::undone).
    pub(crate) const fn to_undo(&self) -> Option<u64> {
        self.undo
    }

    pub(crate) fn undone(&mut self, number: u64) {
        self.undo = self.undo.filter(|undo| *undo != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(count: u64) -> Savepoints {
        let mut savepoints = Savepoints::default();
        for expected in 1..=count {
            let number = savepoints.number();
            assert_eq!(number, expected);
            savepoints.opened(number);
        }
        savepoints
    }

    #[test]
    fn the_end_of_one_is_that_of_those_inside() {
        let mut savepoints = opened(3);
        savepoints.over(2);
        assert_eq!([1, 2, 3].map(|number| savepoints.is_open(number)), [true, false, false]);
        savepoints.dropped(3);
        assert_eq!(savepoints.to_undo(), None, "it is over already");
    }

    #[test]
    fn of_those_that_were_dropped_the_outermost_is_undone_in_whichever_order_they_were() {
        for order in [[3, 2], [2, 3]] {
            let mut savepoints = opened(3);
            order.into_iter().for_each(|number| savepoints.dropped(number));
            assert_eq!(savepoints.to_undo(), Some(2));
            savepoints.undone(2);
            assert_eq!((savepoints.to_undo(), savepoints.is_open(1)), (None, true));
        }
    }

    #[test]
    fn what_was_dropped_while_another_is_undone_is_undone_next() {
        let mut savepoints = opened(2);
        savepoints.dropped(2);
        let undoing = savepoints.to_undo();
        savepoints.dropped(1);
        savepoints.undone(undoing.unwrap());
        assert_eq!(savepoints.to_undo(), Some(1));
    }

    #[test]
    fn who_commits_leaves_nothing_inside() {
        let savepoints = opened(3);
        assert_eq!(savepoints.left_inside(None), Some(1));
        assert_eq!(savepoints.left_inside(Some(1)), Some(2));
        assert_eq!(savepoints.left_inside(Some(3)), None);
        assert_eq!(savepoints.left_inside(Some(9)), None);
    }
}

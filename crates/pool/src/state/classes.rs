//! Classes of callers and the connections that are kept for them.

/// How many connections each class has, and how many are kept free for it. A class that comes first is served first.
#[derive(Debug)]
pub(crate) struct Classes {
    all: Box<[Class]>,
    /// All that are out.
    used: usize,
    /// All that are kept free.
    kept: usize,
}

#[derive(Clone, Copy, Debug)]
struct Class {
    reserved: usize,
    used: usize,
}

impl Classes {
    pub(crate) fn new(reserved: impl Iterator<Item = usize>) -> Self {
        let all: Box<[_]> = reserved.map(|reserved| Class { reserved, used: 0 }).collect();
        let kept = all.iter().map(|class| class.reserved).sum();
        Self { all, used: 0, kept }
    }

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a class may have one more of `size` connections.
    #[inline]
    pub(crate) fn has_room(&self, class: usize, size: usize) -> bool {
        let Class { reserved, used } = self.all[class];
        used < reserved || self.used + self.kept < size
    }

    #[inline]
    pub(crate) fn enter(&mut self, class: usize) {
        let class = &mut self.all[class];
        self.kept -= usize::from(class.used < class.reserved);
        class.used += 1;
        self.used += 1;
    }

    #[inline]
    pub(crate) fn leave(&mut self, class: usize) {
        let class = &mut self.all[class];
        class.used -= 1;
        self.used -= 1;
        self.kept += usize::from(class.used < class.reserved);
    }

    /// How many of those who wait could have one of `size` connections beside those that are out.
    pub(crate) fn admissible(&self, waiting: impl Iterator<Item = usize>, size: usize) -> usize {
        let mut shared = size.saturating_sub(self.used + self.kept);
        let mut all = 0;
        for (class, waiting) in self.all.iter().zip(waiting) {
            let own = class.reserved.saturating_sub(class.used).min(waiting);
            let others = (waiting - own).min(shared);
            shared -= others;
            all += own + others;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_a_class_no_other_gets() {
        let mut classes = Classes::new([2, 0].into_iter());
        let (web, jobs, size) = (0, 1, 4);
        for _ in 0..2 {
            assert!(classes.has_room(jobs, size));
            classes.enter(jobs);
        }
        assert!(!classes.has_room(jobs, size), "the other two are kept");
        for _ in 0..2 {
            assert!(classes.has_room(web, size));
            classes.enter(web);
        }
        assert!(!classes.has_room(web, size));
        classes.leave(jobs);
        assert!(
            classes.has_room(web, size) && classes.has_room(jobs, size),
            "who takes it is a matter of order"
        );
        classes.enter(web);
        assert!(!classes.has_room(jobs, size));
    }

    #[test]
    fn those_count_who_could_have_one() {
        let mut classes = Classes::new([2, 0].into_iter());
        assert_eq!(classes.admissible([0, 9].into_iter(), 4), 2);
        assert_eq!(classes.admissible([1, 9].into_iter(), 4), 3);
        assert_eq!(classes.admissible([9, 9].into_iter(), 4), 4);
        classes.enter(1);
        assert_eq!(classes.admissible([0, 9].into_iter(), 4), 1);
        // The pool was made smaller meanwhile.
        assert_eq!(classes.admissible([0, 9].into_iter(), 2), 0);
    }
}

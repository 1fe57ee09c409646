use std::fmt;

/// The most nodes one cluster may have: a [`NodeSet`] is one machine word.
pub const MAX_NODES: usize = 64;

/// A node's place in the configured list. Stable for the life of a cluster handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// The node at `index` of the configured list, or `None` from [`MAX_NODES`] on.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < MAX_NODES).map(Self)
    }

    /// Its place in the configured list.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a node is to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a node either takes writes or follows one that does")]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows a primary and refuses writes.
    Replica,
}

impl Role {
    /// The lower-case word that metrics, events and `Display` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Counts the changes of the primary role that this process has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The count itself: 0 before any primary was seen.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What makes servers one cluster: PostgreSQL's system identifier, or a hash of what another backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(u64);

impl ClusterId {
    /// Wraps the servers' own number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The servers' own number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The branch of history that a server is on; a promotion starts a new, higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(u32);

impl Timeline {
    /// Wraps the servers' own number.
    #[must_use]
    pub const fn new(timeline: u32) -> Self {
        Self(timeline)
    }

    /// The servers' own number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of one server: no other server has the same, nor has this one when it was started anew. It tells apart what hides behind one name.
///
/// The run alone makes it the same: a server that listens at two addresses tells another place by each.
#[derive(Clone, Copy, Debug)]
pub struct ServerId {
    place: Option<u64>,
    run: u64,
}

impl PartialEq for ServerId {
    fn eq(&self, other: &Self) -> bool {
        self.run == other.run
    }
}

impl Eq for ServerId {}

impl ServerId {
    /// A run of the server at this place, if it has one that it can name. Both are hashes of what it says of itself: of its own address, and
    /// of when it was started, to the microsecond say.
    #[must_use]
    pub const fn new(place: Option<u64>, run: u64) -> Self {
        Self { place, run }
    }

    /// Whether it is the same server, as far as is known: the same run, or another at the same place.
    #[must_use]
    pub fn is_of(self, other: Self) -> bool {
        self == other || (self.place.is_some() && self.place == other.place)
    }
}

/// A set of nodes, one bit each: copied, never allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSet(u64);

impl NodeSet {
    /// No node.
    pub const EMPTY: Self = Self(0);

    /// Adds a node.
    pub const fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    /// Takes a node out.
    pub const fn remove(&mut self, node: NodeId) {
        self.0 &= !(1 << node.0);
    }

    /// Whether the node is in.
    #[must_use]
    pub const fn contains(self, node: NodeId) -> bool {
        self.0 & (1 << node.0) != 0
    }

    /// The nodes of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The nodes of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The nodes of this one that are not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many nodes are in.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no node is in.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first.
    pub(crate) fn lowest(self) -> Option<NodeId> {
        u8::try_from(self.0.trailing_zeros()).ok().filter(|_| self.0 != 0).map(NodeId)
    }

    /// The last.
    pub(crate) fn highest(self) -> Option<NodeId> {
        u8::try_from(self.0.leading_zeros()).ok().filter(|_| self.0 != 0).map(|zeros| NodeId(63 - zeros))
    }

    /// The node with so many lower ones in the set.
    #[must_use]
    pub(crate) fn nth(self, index: usize) -> Option<NodeId> {
        let mut rest = self.0;
        for _ in 0..index {
            rest &= rest.wrapping_sub(1);
        }
        Self(rest).lowest()
    }

    /// The nodes, lowest first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = Self(rest).lowest()?;
            rest &= rest - 1;
            Some(lowest)
        })
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_last_of_64_nodes_and_refuses_the_next() {
        let last = NodeId::new(MAX_NODES - 1).unwrap();
        let first = NodeId::new(0).unwrap();
        let mut set: NodeSet = [last, first].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [first, last]);
        assert_eq!([0, 1, 2].map(|index| set.nth(index)), [Some(first), Some(last), None]);
        set.remove(first);
        assert_eq!((set.len(), set.contains(first), set.contains(last)), (1, false, true));
        assert_eq!(NodeId::new(MAX_NODES), None);
    }
}

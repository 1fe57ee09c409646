//! A session: what it has written and was told, and what its reads have shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use millpond_core::{LastRead, Position, Seen, Token, TokenPosition};

use crate::NodeKey;
use crate::members::View;
use crate::node::now;
use crate::unseen::Out;
use crate::written::merge;

/// A causal line of reads and writes.
#[derive(Debug)]
pub(crate) struct Line<P> {
    seen: ArcSwap<Seen<P>>,
    /// A token that could not be used here and may be elsewhere.
    carried: ArcSwapOption<Token<P>>,
    /// Whether anything was written here.
    has_written: AtomicBool,
    pub(crate) unseen: Out,
    shown: Mutex<Reads>,
}

/// What reads have shown, where later ones must not show less.
#[derive(Debug, Default)]
struct Reads {
    last: Option<Shown>,
    /// Counts what was noted: reads that ran at the same time are in no order.
    count: u64,
}

/// What was shown by a replica of which no position is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Which, if one shows all of it.
    node: Option<NodeKey>,
    /// When the first read was sent that a crash of the node would have come behind.
    pub(crate) sent: Instant,
    /// When the last of it was answered.
    pub(crate) answered: Instant,
    count: u64,
}

impl Shown {
    pub(crate) fn is_on(self, node: NodeKey) -> bool {
        self.node == Some(node)
    }

    /// The same, where the node may not show it any more.
    pub(crate) fn without_node(self) -> Self {
        Self { node: None, ..self }
    }

    /// As it is decided by: a node that was taken out is none.
    pub(crate) fn last_read<P: Position>(self, view: &View<P>) -> LastRead {
        let node =
            self.node.and_then(|key| view.members().map(|node| node.id).find(|id| view.key(*id) == key));
        LastRead { node, answered: self.answered }
    }
}

impl<P> Default for Line<P> {
    fn default() -> Self {
        Self {
            seen: ArcSwap::from_pointee(Seen::default()),
            carried: ArcSwapOption::empty(),
            has_written: AtomicBool::new(false),
            unseen: Out::default(),
            shown: Mutex::default(),
        }
    }
}

impl<P: Position> Line<P> {
    pub(crate) fn seen(&self) -> Guard<Arc<Seen<P>>> {
        self.seen.load()
    }

    pub(crate) fn wrote(&self, seen: &Seen<P>) {
        self.has_written.store(true, Ordering::Release);
        self.add(seen);
    }

    pub(crate) fn has_written(&self) -> bool {
        self.has_written.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self, seen: &Seen<P>) {
        merge(&self.seen, seen);
    }

    /// What it asks for at no known place lies before `token`: the primary was asked for that at `asked` or later.
    pub(crate) fn place(&self, token: &Token<P>, asked: Instant) {
        let is_unplaced =
            |seen: &Seen<P>| seen.token().is_some_and(|token| *token.position() == TokenPosition::Everything);
        if is_unplaced(&self.seen.load()) {
            self.add(&Seen::written_up_to(token.clone(), asked, now()));
        }
    }

    /// Keeps a token of a later timeline than is known here for whoever comes next.
    pub(crate) fn carry(&self, token: Token<P>) {
        self.carried.store(Some(Arc::new(token)));
    }

    pub(crate) fn carried(&self) -> Guard<Option<Arc<Token<P>>>> {
        self.carried.load()
    }

    /// What the next read must not show less of than.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.reads().last
    }

    /// As it is decided by.
    pub(crate) fn last_read(&self, view: &View<P>) -> Option<LastRead> {
        self.shown().map(|shown| shown.last_read(view))
    }

    /// Notes a read on a replica, for which `before` was what it must not show less of than.
    pub(crate) fn read_on(&self, node: NodeKey, sent: Instant, answered: Instant, before: Option<Shown>) {
        let mut reads = self.reads();
        reads.count += 1;
        let count = reads.count;
        let read = Shown { node: Some(node), sent, answered, count };
        reads.last = Some(match reads.last {
            // Nothing was noted since, and it shows what was before.
            last if last.map(|last| last.count) == before.map(|before| before.count) => read,
            None => read,
            Some(other) => {
                let node = other.node.filter(|one| *one == node);
                let (sent, answered) = (other.sent.min(sent), other.answered.max(answered));
                Shown { node, sent, answered, count }
            }
        });
    }

    /// Notes a read on the primary, which shows all that any replica did before.
    pub(crate) fn read_on_primary(&self, before: Option<Shown>) {
        let mut reads = self.reads();
        if reads.last.map(|last| last.count) == before.map(|before| before.count) {
            reads.last = None;
        }
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

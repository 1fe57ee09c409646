//! What runs on a connection, as diesel tells it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, get_default_instrumentation};
use millpond_cluster::Handle;
use millpond_cluster::core::Access;
use millpond_cluster::sql::Effects;

use crate::driver::Diesel;

/// Longer texts are not read: anything may be in them.
const LONGEST: usize = 8 * 1024;

/// What a connection's user may have left in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) effects: Effects,
    /// Whether something ran of which no text shows what it does, so that anything may be there.
    pub(crate) is_unseen: bool,
}

const NOTHING: Left = Left { effects: Effects::NONE, is_unseen: false };

/// What was run since a connection was given out.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<State>>);

struct State {
    /// What reads texts; nothing while nobody has the connection, and what runs is ours.
    reader: Option<Handle<Diesel>>,
    left: Left,
    /// Whether its user wants to be told instead of us, and we see no more.
    is_replaced: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { reader: None, left: NOTHING, is_replaced: false }
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches from now on what its user runs.
    pub(crate) fn begin(&self, handle: &Handle<Diesel>) {
        self.state().reader = Some(handle.clone());
    }

    /// Its user is done with it: what was left.
    pub(crate) fn end(&self) -> Left {
        let mut state = self.state();
        let reader = state.reader.take();
        let left = Left { is_unseen: state.left.is_unseen || state.is_replaced, ..state.left };
        drop(state);
        // With it may go the last of the cluster.
        drop(reader);
        left
    }

    /// Whether somebody else is told of statements, since it was asked last.
    pub(crate) fn take_replaced(&self) -> bool {
        std::mem::take(&mut self.state().is_replaced)
    }

    /// What was left is taken away.
    pub(crate) fn cleaned(&self) {
        self.state().left = NOTHING;
    }

    fn note(&self, query: &dyn fmt::Display) {
        let Some(reader) = self.state().reader.clone() else { return };
        let text = query.to_string();
        let sql = without_binds(&text);
        let left = if sql.len() > LONGEST {
            Left { is_unseen: true, ..NOTHING }
        } else {
            let classification = reader.classify(sql);
            let is_hidden =
                classification.runs_hidden_code() || classification.access() == Access::Definition;
            Left { effects: classification.effects(), is_unseen: is_hidden }
        };
        let mut state = self.state();
        state.left.effects = state.left.effects.union(left.effects);
        state.left.is_unseen |= left.is_unseen;
    }
}

/// The text of a query as it is shown, less the values that stand behind it in a comment: they would make another text of each call. A comment that goes to
/// the end of all hides nothing.
fn without_binds(text: &str) -> &str {
    match text.split_once(" -- binds: ") {
        Some((sql, binds)) if !binds.contains(['\n', '\r']) => sql,
        _ => text,
    }
}

/// Is told of a connection's statements, and tells whoever is told of all connections'.
pub(crate) struct Watch {
    watched: Watched,
    usual: Option<Box<dyn Instrumentation>>,
}

impl Watch {
    pub(crate) fn new(watched: Watched) -> Self {
        Self { watched, usual: get_default_instrumentation() }
    }
}

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = &event {
            self.watched.note(query);
        }
        if let Some(usual) = &mut self.usual {
            usual.on_connection_event(event);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.state().is_replaced = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_where_they_stand_in_a_comment_to_the_end() {
        assert_eq!(without_binds("SELECT 1 WHERE a = $1 -- binds: [7, \"x\"]"), "SELECT 1 WHERE a = $1");
        for whole in [
            "SELECT 1",
            "SELECT 1 -- binds: []\n; SELECT set_config('a', 'b', false)",
            "SELECT 1 -- binds: []\r; SELECT set_config('a', 'b', false)",
        ] {
            assert_eq!(without_binds(whole), whole);
        }
        // In a literal it is no comment: what is left of that is no statement, and taken for anything.
        assert_eq!(without_binds("SELECT ' -- binds: '"), "SELECT '");
    }

    #[test]
    fn who_is_told_no_more_says_so_once() {
        let watched = Watched::default();
        assert_eq!(watched.end(), NOTHING);
        drop(Watch::new(watched.clone()));
        assert!(watched.end().is_unseen && watched.take_replaced());
        assert!(!watched.end().is_unseen && !watched.take_replaced());
    }
}

//! Troubles that are told once, and once that they are over.

use crate::cluster::Shared;
use crate::{Backend, Event};

/// What was told last of one kind of trouble.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<Event>);

impl Told {
    /// It is so now. Tells it where it is another than before, and that it is over.
    pub(crate) fn is<B: Backend>(&mut self, shared: &Shared<B>, now: Option<Event>) {
        if self.0 == now {
            return;
        }
        let before = std::mem::replace(&mut self.0, now);
        match (&self.0, before) {
            (Some(event), _) => shared.tell(event),
            (None, Some(before)) => shared.tell(&before.is_over()),
            (None, None) => {}
        }
    }

    /// The same for what is told once from its beginning to its end, whatever becomes of it meanwhile.
    pub(crate) fn began<B: Backend>(&mut self, shared: &Shared<B>, now: Option<Event>) {
        if self.0.is_none() || now.is_none() {
            self.is(shared, now);
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

//! What a session tells another one, in this process or the next: tokens given and taken.

use std::time::Instant;

use millpond_core::{ClusterId, Health, Seen, Timeline, Token, TokenError, TokenPosition};
use tokio::time::timeout_at;

use crate::handle::Sees;
use crate::members::View;
use crate::node::{in_time, now};
use crate::written::Changes;
use crate::{Backend, Error, ErrorKind, Handle, Outcome};

/// Where servers tell no positions all are on this one, which is none.
const NO_TIMELINE: Timeline = Timeline::new(0);

impl<B: Backend> Handle<B> {
    /// What a reader elsewhere must be able to see to see what was written here. A token that [could not be used](Self::see_or_latest), since it is of a
    /// later timeline than is known here, is handed on as it came: elsewhere it may be of use.
    #[must_use]
    pub fn token(&self) -> Token<B::Position> {
        self.here().token_here()
    }

    fn token_here(&self) -> Token<B::Position> {
        if self.has_unseen_out() {
            // Whatever that has committed by now.
            self.wrote();
        }
        let own = self.own_token();
        if let Sees::Session(line) = &self.sees {
            if let Some(carried) =
                line.carried().as_ref().filter(|carried| carried.timeline() > own.timeline())
            {
                if !line.has_written() {
                    return Token::clone(carried);
                }
                // It may be made up, or of who knows less: what was written here lies at no place that it names.
                return Token::new(carried.cluster(), carried.timeline(), TokenPosition::Everything);
            }
        }
        own
    }

    fn own_token(&self) -> Token<B::Position> {
        let seen = self.own_seen();
        if let Some(token) = seen.as_ref().and_then(|seen| seen.token()) {
            return token.clone();
        }
        let is_nothing = seen.is_none_or(|seen| seen.is_nothing());
        let snapshot = self.shared().view.load();
        let position = if is_nothing { TokenPosition::Nothing } else { TokenPosition::Everything };
        let cluster = snapshot.cluster.unwrap_or(ClusterId::new(0));
        Token::new(cluster, snapshot.timeline.unwrap_or(NO_TIMELINE), position)
    }

    /// Reads show what `token` asks for from here on.
    ///
    /// # Errors
    ///
    /// A token of another cluster. Where this one is not known yet, as before the first answer, calls fail instead.
    pub fn see(&self, token: Token<B::Position>) -> Result<(), Error> {
        if *token.position() == TokenPosition::Nothing {
            return Ok(());
        }
        self.is_of_this_cluster(&token)
            .map_err(|error| Error::new(ErrorKind::Token, Outcome::NotSent, error.to_string()))?;
        let token = self.as_far_as_places_are_known(token);
        self.was_told(&Seen::told(token, now()));
        Ok(())
    }

    /// Reads show what the token in `text` asks for from here on, if it can be used. If not, they show all that had been written when it came: the
    /// primary serves them until a replica is known to show that. Gives what was wrong with it.
    ///
    /// One of a later timeline than any node is on, as far as is known, has all nodes asked first, for as long as two probes may take: a primary may
    /// have been promoted just now.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it has done nothing.
    pub async fn see_or_latest(&self, text: &str) -> Option<TokenError> {
        let came = now();
        let error = match text.parse::<Token<B::Position>>() {
            Ok(token) if *token.position() == TokenPosition::Nothing => return None,
            Ok(token) => match self.is_usable(&self.as_far_as_places_are_known(token.clone()), came).await {
                Ok(()) => {
                    self.was_told(&Seen::told(self.as_far_as_places_are_known(token), came));
                    return None;
                }
                Err(error) => {
                    if let (TokenError::LaterTimeline { .. }, Sees::Session(line)) =
                        (&error, &self.here().sees)
                    {
                        line.carry(token);
                    }
                    error
                }
            },
            Err(error) => error,
        };
        self.was_told_of_everything(came);
        Some(error)
    }

    /// Reads show all that had been written when this is called, wherever it was written, from here on: the primary serves them until a replica is known to
    /// show that. For what came by another way than with a token, as a notification.
    pub fn see_latest(&self) {
        self.was_told_of_everything(now());
    }

    fn was_told_of_everything(&self, came: Instant) {
        self.was_told(&Seen::written(self.token_at(TokenPosition::Everything), came));
    }

    /// Where servers tell no positions, a token of who knows them asks for all that had been written when it came; and so does one of who does not, where
    /// they do: its timeline is none, and lies before no fork.
    fn as_far_as_places_are_known(&self, token: Token<B::Position>) -> Token<B::Position> {
        if self.shared().backend.has_positions() && token.timeline() != NO_TIMELINE {
            return token;
        }
        let timeline = self.shared().view.load().timeline.unwrap_or(NO_TIMELINE);
        Token::new(token.cluster(), timeline, TokenPosition::Everything)
    }

    fn was_told(&self, seen: &Seen<B::Position>) {
        match &self.here().sees {
            Sees::Session(line) => line.add(seen),
            Sees::Process => self.shared().written.add(seen, &Changes::Anything),
            Sees::Nothing => {}
        }
    }

    fn is_of_this_cluster(&self, token: &Token<B::Position>) -> Result<(), TokenError> {
        match self.shared().view.load().cluster {
            Some(cluster) if cluster != token.cluster() => {
                Err(TokenError::OtherCluster { token: token.cluster(), cluster })
            }
            _ => Ok(()),
        }
    }

    /// Whether a token that came at `came` can be used, by what all nodes say behind that, if it takes as much.
    async fn is_usable(&self, token: &Token<B::Position>, came: Instant) -> Result<(), TokenError> {
        let shared = self.shared();
        let is_reached = |view: &View<B::Position>| {
            // Of a primary that is not adopted yet, too.
            let others =
                view.members().filter(|node| node.health == Health::Up).filter_map(|node| node.timeline);
            view.timeline.into_iter().chain(others).any(|timeline| timeline >= token.timeline())
        };
        self.is_of_this_cluster(token)?;
        if !is_reached(&shared.view.load()) {
            let patience = in_time((2 * shared.config.probe_timeout).min(shared.limits.acquire_timeout()));
            let deadline = self.end_of_call().map_or(patience, |end| end.min(patience));
            let mut answers = shared.answers.subscribe();
            loop {
                let view = shared.view.load_full();
                if is_reached(&view) || shared.members(&view).all(|node| node.was_asked_since(came)) {
                    break;
                }
                drop(view);
                shared.nudge_all();
                if timeout_at(deadline, answers.changed()).await.is_err() {
                    break;
                }
            }
        }
        self.is_of_this_cluster(token)?;
        match is_reached(&shared.view.load()) {
            true => Ok(()),
            false => Err(TokenError::LaterTimeline { token: token.timeline() }),
        }
    }
}

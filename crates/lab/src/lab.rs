//! A running cluster.

mod up;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    LabBuilder, LabError, Node, NodeStatus,
    background::{Background, run},
    error::Phase,
    guardian::Guardian,
    host::{Host, Shared},
    ports, status, url,
};

/// A primary and its replicas, running on loopback for as long as this value lives.
///
/// Dropping it ends the servers and removes their folder, and waits for that; so does the end of the process,
/// whatever way it ends.
#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Node>,
    shared: Arc<Shared>,
    guardian: Guardian,
    /// `None` once the lab is down.
    background: Option<Background>,
}

impl Lab {
    /// A lab of a primary and two replicas, unless the builder is told otherwise.
    #[must_use]
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// All nodes, in the order of their names. The order never changes, the roles may.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The primary: the first node, or the one that was promoted last.
    #[must_use]
    pub fn primary(&self) -> &Node {
        &self.nodes[self.shared.primary.load(Ordering::Acquire)]
    }

    /// All nodes but the [primary](Self::primary), running or not.
    pub fn replicas(&self) -> impl Iterator<Item = &Node> {
        let primary = self.primary().host.index;
        self.nodes.iter().filter(move |node| node.host.index != primary)
    }

    /// The node with this name.
    ///
    /// # Errors
    ///
    /// When there is none; the message says which there are.
    pub fn node(&self, name: &str) -> Result<&Node, LabError> {
        self.nodes.iter().find(|node| node.name() == name).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(Node::name).collect();
            LabError::NoSuchNode { name: name.to_owned(), known: names.join(", ") }
        })
    }

    /// A URL that names all nodes, through their relays, as the superuser `postgres`:
    /// `postgres://postgres@127.0.0.1:p0,127.0.0.1:p1/database?sslmode=disable`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url::of(&self.shared, "postgres", None, self.nodes.iter().map(Node::port), database)
    }

    /// The same for another user.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        url::of(&self.shared, user, Some(password), self.nodes.iter().map(Node::port), database)
    }

    /// The folder that holds everything of this lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Asks all nodes at once how they are. A node that does not run or answer is part of the answer.
    ///
    /// # Errors
    ///
    /// Only when the lab is down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn status(&self) -> Result<Vec<NodeStatus>, LabError> {
        let shared = Arc::clone(&self.shared);
        run(self.nodes[0].handle(), async move { Ok(status::of(&shared).await) }).await
    }

    /// Waits until every replica that runs has replayed what the primary has written by now.
    ///
    /// # Errors
    ///
    /// When one does not get there within the lab's patience; the message says which, and how far it came.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn caught_up(&self) -> Result<(), LabError> {
        let primary = self.primary().host.clone();
        run(self.nodes[0].handle(), async move {
            let position = primary.written(Phase::CatchUp).await?;
            for index in 0..primary.shared.members.len() {
                let host = primary.other(index);
                let runs = host.check_moving(Phase::CatchUp).await.is_ok();
                if index != primary.index && runs && host.in_recovery(Phase::CatchUp).await? {
                    host.replayed(position).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Ends the servers, removes the folder, and waits for both.
    ///
    /// # Errors
    ///
    /// When something may be left; the message says where to look.
    ///
    /// # Cancel safety
    ///
    /// Everything is ended all the same when the future is dropped.
    pub async fn down(mut self) -> Result<(), LabError> {
        let ended = tokio::task::spawn_blocking(move || self.tear_down());
        ended.await.unwrap_or(Err(LabError::Down))
    }

    /// A second call does nothing.
    fn tear_down(&mut self) -> Result<(), LabError> {
        // Operations under way would start again what the guardian ends.
        drop(self.background.take());
        let finished = self.guardian.finish();
        for member in &self.shared.members {
            // The thread is gone, so nobody holds the lock.
            if let Ok(mut server) = member.server.try_lock() {
                server.bury();
            }
            ports::release(member.direct_port.load(Ordering::Acquire));
        }
        finished
    }

    fn host(&self, index: usize) -> Host {
        Host { shared: Arc::clone(&self.shared), index }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; `down` reports it.
        let _ = self.tear_down();
    }
}

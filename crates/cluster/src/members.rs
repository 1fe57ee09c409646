//! The nodes that are configured, which may change while the cluster is in use.

use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use millpond_core::{Input, MAX_NODES, NodeId, NodeView, Position, Snapshot, Topology};
use tokio::task::AbortHandle;

use crate::cluster::Shared;
use crate::node::{Node, in_time};
use crate::{Backend, Cluster, Error, ErrorKind, Event, Outcome, monitor};

/// A node, as it is configured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig<A> {
    /// Its name in events, errors and the status.
    pub name: Arc<str>,
    /// Where the backend finds it.
    pub address: A,
    /// How much it can do beside others: of two that are equally fast, one of weight 2 gets reads until it has twice as many in flight.
    /// Default 1.
    pub weight: f64,
    /// Whether its name stands for whichever server takes writes, as the writer endpoint of a managed service: then that name alone decides who is
    /// written to, and it is looked up again and again. At most one node is such. Default no: who takes writes is found by evidence.
    pub is_endpoint: bool,
    /// Where it is. Reads go first to the nodes that are where the process is: [`Config::zone`](crate::Config::zone). Default nowhere in
    /// particular.
    pub zone: Option<Arc<str>>,
    /// Whether it gets no reads, as one that was [drained](Cluster::drain_node). Default no.
    pub is_drained: bool,
    /// The name that it was found by, where that is another: one that stands for several nodes, say.
    pub found_as: Option<Arc<str>>,
}

impl<A> NodeConfig<A> {
    /// One of that name, there, with the defaults.
    #[must_use]
    pub const fn new(name: Arc<str>, address: A) -> Self {
        Self { name, address, weight: 1.0, is_endpoint: false, zone: None, is_drained: false, found_as: None }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_weight(&self.name, self.weight)
    }
}

pub(crate) fn check_weight(name: &str, weight: f64) -> Result<(), Error> {
    let is_sound = weight.is_finite() && weight >= LEAST_WEIGHT;
    is_sound.then_some(()).ok_or_else(|| {
        Error::config(format!(
            "{name}: a weight is a number from {LEAST_WEIGHT}, not {weight}; to give a node no reads, drain it"
        ))
    })
}

/// Lower ones would be drained nodes by another name.
const LEAST_WEIGHT: f64 = 0.001;

/// One node for as long as it is configured. One that is taken out and added again is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeKey(pub(crate) usize);

/// What is known of the cluster, and which node is meant by each [`NodeId`].
#[derive(Debug)]
pub(crate) struct View<P> {
    snapshot: Snapshot<P>,
    keys: Keys,
    /// A later one has another.
    pub(crate) number: u64,
}

/// By [`NodeId::index`]; where no node is configured they mean nothing.
type Keys = [NodeKey; MAX_NODES];

impl<P> Deref for View<P> {
    type Target = Snapshot<P>;

    fn deref(&self) -> &Snapshot<P> {
        &self.snapshot
    }
}

impl<P: Position> View<P> {
    /// What is known of a node; `None` when it was taken out.
    pub(crate) fn of<B: Backend<Position = P>>(&self, node: &Node<B>) -> Option<&NodeView<P>> {
        self.snapshot.member(node.id).filter(|_| self.key(node.id) == node.key)
    }

    pub(crate) const fn key(&self, id: NodeId) -> NodeKey {
        self.keys[id.index()]
    }

    /// Whether writes go to the node.
    pub(crate) fn is_primary<B: Backend<Position = P>>(&self, node: &Node<B>) -> bool {
        self.snapshot.primary == Some(node.id) && self.key(node.id) == node.key
    }
}

/// What makes views.
pub(crate) struct State<P> {
    pub(crate) topology: Topology<P>,
    keys: Keys,
    /// How many views were made.
    views: u64,
}

impl<P: Position> State<P> {
    /// That of a cluster without nodes.
    pub(crate) fn new(max_lag: Duration) -> Self {
        Self { topology: Topology::new(0).with_max_lag(max_lag), keys: [NodeKey(0); MAX_NODES], views: 0 }
    }

    pub(crate) fn view(&mut self) -> View<P> {
        self.views += 1;
        View { snapshot: self.topology.snapshot(), keys: self.keys, number: self.views }
    }

    /// Whether the node is one of those that are configured still.
    pub(crate) fn has<B: Backend<Position = P>>(&self, node: &Node<B>) -> bool {
        self.keys[node.id.index()] == node.key && self.topology.is_member(node.id)
    }

    pub(crate) const fn key(&self, id: NodeId) -> NodeKey {
        self.keys[id.index()]
    }

    /// A place for one more.
    fn free(&self) -> Option<NodeId> {
        (0..MAX_NODES).filter_map(NodeId::new).find(|id| !self.topology.is_member(*id))
    }
}

impl<B: Backend> Shared<B> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State<B::Position>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn node_of(&self, key: NodeKey) -> &Node<B> {
        self.nodes.at(key.0)
    }

    /// The node that a view means.
    #[inline]
    pub(crate) fn node(&self, view: &View<B::Position>, id: NodeId) -> &Node<B> {
        self.node_of(view.key(id))
    }

    /// The nodes that are configured in a view.
    pub(crate) fn members<'s>(&'s self, view: &'s View<B::Position>) -> impl Iterator<Item = &'s Node<B>> {
        view.snapshot.members().map(|node| self.node(view, node.id))
    }

    /// The node of that name, or the only one that was found by it.
    pub(crate) fn named(&self, name: &str) -> Result<&Node<B>, Error> {
        if let Some(node) = self.exactly(name) {
            return Ok(node);
        }
        let view = self.view.load();
        let is_found_as = |node: &&Node<B>| node.found_as.as_deref() == Some(name);
        let found: Vec<_> = self.members(&view).filter(is_found_as).collect();
        let names = |nodes: &[&Node<B>]| nodes.iter().map(|node| &*node.name).collect::<Vec<_>>().join(", ");
        match found[..] {
            [one] => Ok(self.node_of(one.key)),
            [] => Err(self.no_node(name)),
            _ => Err(Error::config(format!("{name} stands for {}: name one of them", names(&found)))),
        }
    }

    fn no_node(&self, name: &str) -> Error {
        let view = self.view.load();
        let names: Vec<_> = self.members(&view).map(|node| &*node.name).collect();
        Error::config(format!("no node {name}: there are {}", names.join(", ")))
    }

    /// The node of that name and no other.
    pub(crate) fn exactly(&self, name: &str) -> Option<&Node<B>> {
        let view = self.view.load();
        let key = self.members(&view).find(|node| *node.name == *name).map(|node| node.key);
        key.map(|key| self.node_of(key))
    }

    /// A node is somewhere else than was known.
    pub(crate) fn set_zone(&self, node: &Node<B>, zone: Option<Arc<str>>) {
        let is_near = zone.is_some() && zone == self.config.zone;
        node.set_zone(zone);
        self.take_in(node, Input::Placed { node: node.id, is_near });
    }

    /// Adds a node without a monitor.
    pub(crate) fn join(&self, node: NodeConfig<B::Address>) -> Result<NodeKey, Error> {
        node.check()?;
        let mut state = self.state();
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, Outcome::NotSent, "the handle is closed"));
        }
        let view = state.view();
        if self.members(&view).any(|other| other.name == node.name) {
            return Err(Error::config(format!("{} is named twice", node.name)));
        }
        let (is_endpoint, is_drained) = (node.is_endpoint, node.is_drained);
        if let Some(other) = self.members(&view).find(|other| is_endpoint && other.is_endpoint) {
            let names = format!("{} and {}", other.name, node.name);
            return Err(Error::config(format!(
                "{names} cannot both be the name that decides who is written to"
            )));
        }
        let id =
            state.free().ok_or_else(|| Error::config(format!("a cluster has at most {MAX_NODES} nodes")))?;
        let is_near = node.zone.is_some() && node.zone == self.config.zone;
        let added = self.nodes.add(|number| {
            let node = Node::new(&self.backend, id, NodeKey(number), node, &self.config, &self.limits);
            node.map_err(|error| Error::config(error.to_string()))
        });
        let key = added?.key;
        state.keys[id.index()] = key;
        let mut todos = self.handle(&mut state, Input::Joined { node: id, is_near, is_endpoint });
        if is_drained {
            todos.extend(self.handle(&mut state, Input::Drained { node: id, is_drained }));
        }
        self.size_retry_budget(&self.view.load());
        drop(state);
        self.follow(todos);
        Ok(key)
    }

    /// Takes in what happened to a node, unless it was taken out meanwhile.
    pub(crate) fn take_in(&self, node: &Node<B>, input: Input<B::Position>) {
        let mut state = self.state();
        if !state.has(node) {
            return;
        }
        let todos = self.handle(&mut state, input);
        drop(state);
        self.follow(todos);
    }

    pub(crate) async fn remove_node(&self, name: &str, patience: Duration) -> Result<bool, Error> {
        // By its own name alone: it does not come back.
        let node = self.exactly(name).ok_or_else(|| self.no_node(name))?;
        let todos = {
            let mut state = self.state();
            if state.topology.snapshot().members().count() == 1 {
                return Err(Error::config(format!("{name} is the only node: close the handle instead")));
            }
            if !state.has(node) {
                return Err(Error::config(format!("{name} was taken out already")));
            }
            let todos = self.handle(&mut state, Input::Left { node: node.id });
            self.size_retry_budget(&self.view.load());
            todos
        };
        node.end_monitor();
        self.follow(todos);
        self.woken();
        self.tell(&Event::NodeRemoved { node: Arc::clone(&node.name) });
        let cut_off = CutOff { shared: self, node };
        let is_quiet = node.close(in_time(patience)).await;
        drop(cut_off);
        Ok(is_quiet)
    }
}

impl<B: Backend> Cluster<B> {
    /// Adds a node: it is asked who it is, and gets reads as soon as it is known to be fresh enough. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// A node of that name is there, or there are [`MAX_NODES`]; a weight that cannot be; a closed cluster.
    pub fn add_node(&self, node: NodeConfig<B::Address>) -> Result<(), Error> {
        let shared = &self.shared;
        let name = Arc::clone(&node.name);
        let key = shared.join(node)?;
        self.watch(key);
        // A lone node is not asked while nothing happens, and its catalog is not loaded.
        shared.nudge_all();
        shared.woken();
        shared.tell(&Event::NodeAdded { node: name });
        Ok(())
    }

    /// Takes a node out: it gets nothing more from now on, and what runs on it may go on for so long. Then it is cut off: reads go on to
    /// another node, writes are given up as [may have run](Outcome::MayHaveRun). Says whether all came back in time.
    ///
    /// When it was the primary, writes wait for another one.
    ///
    /// # Errors
    ///
    /// There is no such node, or no other one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the node is out, and what runs on it is cut off at once.
    pub async fn remove_node(&self, name: &str, patience: Duration) -> Result<bool, Error> {
        self.shared.remove_node(name, patience).await
    }

    /// Gives a node no more reads, before it is taken out or worked on; what runs on it goes on. A primary takes writes as before.
    ///
    /// # Errors
    ///
    /// There is no such node.
    pub fn drain_node(&self, name: &str) -> Result<(), Error> {
        self.set_drained(name, true)
    }

    /// Gives a drained node reads again.
    ///
    /// # Errors
    ///
    /// There is no such node.
    pub fn undrain_node(&self, name: &str) -> Result<(), Error> {
        self.set_drained(name, false)
    }

    fn set_drained(&self, name: &str, is_drained: bool) -> Result<(), Error> {
        let node = self.shared.named(name)?;
        self.shared.take_in(node, Input::Drained { node: node.id, is_drained });
        self.shared.tell(&Event::NodeDrained { node: Arc::clone(&node.name), is_drained });
        Ok(())
    }

    /// How much a node can do beside others, from the next statement on: see [`NodeConfig::weight`].
    ///
    /// # Errors
    ///
    /// There is no such node; a weight that cannot be.
    pub fn set_weight(&self, name: &str, weight: f64) -> Result<(), Error> {
        check_weight(name, weight)?;
        self.shared.named(name)?.set_weight(weight);
        Ok(())
    }

    /// Starts the monitor of a node.
    pub(crate) fn watch(&self, key: NodeKey) {
        let monitor = self.keep(monitor::run(Arc::clone(&self.shared), key));
        self.shared.node_of(key).watched_by(monitor);
    }

    /// Runs something in the background, until the last clone is dropped.
    pub(crate) fn keep(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended, as the monitors of nodes that were taken out.
        while tasks.try_join_next().is_some() {}
        let handle = tasks.spawn(task);
        if self.shared.is_closed() {
            handle.abort();
        }
        handle
    }

    /// What gives a clone as long as there is one.
    pub(crate) fn weak(&self) -> impl Fn() -> Option<Self> + Send + use<B> {
        let (shared, tasks) = (Arc::clone(&self.shared), Arc::downgrade(&self.tasks));
        move || Some(Self { shared: Arc::clone(&shared), tasks: tasks.upgrade()? })
    }
}

/// Cuts a node off when dropped: what still runs on it is given up.
struct CutOff<'a, B: Backend> {
    shared: &'a Shared<B>,
    node: &'a Node<B>,
}

impl<B: Backend> Drop for CutOff<'_, B> {
    fn drop(&mut self) {
        self.node.cut_off();
        self.shared.woken();
    }
}

#[cfg(test)]
mod tests;

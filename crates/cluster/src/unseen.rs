//! Work that is not seen, and the session that a task is in.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::handle::Sees;
use crate::{Backend, Handle};

/// How much work is out that is not seen.
#[derive(Debug, Default)]
pub(crate) struct Out(AtomicUsize);

impl Out {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Work that is not seen, as what is done on a connection that was given out: made by [`Handle::unseen`]. Nobody knows what it has committed, so as
/// long as it is out the reads of its handle go to the primary. Dropped, it counts as written.
#[derive(Debug)]
#[must_use = "dropped at once, it is over"]
pub struct Unseen<B: Backend> {
    handle: Handle<B>,
}

impl<B: Backend> Unseen<B> {
    fn each(&self, change: impl Fn(&Out)) {
        change(&self.handle.shared().unseen);
        if let Sees::Session(line) = &self.handle.sees {
            change(&line.unseen);
        }
    }
}

impl<B: Backend> Drop for Unseen<B> {
    fn drop(&mut self) {
        // In this order: who sees it over must see what it wrote.
        self.handle.wrote();
        self.each(|out| {
            out.0.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

impl<B: Backend> Handle<B> {
    /// Begins work that is not seen: of this session, or of that which the task [is in](Self::scope); and of the process.
    pub fn unseen(&self) -> Unseen<B> {
        let unseen = Unseen { handle: self.here() };
        unseen.each(|out| {
            out.0.fetch_add(1, Ordering::AcqRel);
        });
        unseen
    }

    /// Whether work is out of which nobody knows what it has written that this handle's reads must show.
    pub(crate) fn has_unseen_out(&self) -> bool {
        match &self.sees {
            Sees::Nothing => false,
            Sees::Process => self.shared().unseen.is_any(),
            Sees::Session(line) => {
                line.unseen.is_any() || (self.reads_as_process() && self.shared().unseen.is_any())
            }
        }
    }
}

/// A session that a task is in, and that which it was in before.
struct Current {
    session: Arc<dyn Any + Send + Sync>,
    /// Whether a call was turned away at once, there being too many.
    was_turned_away: AtomicBool,
    outer: Option<Arc<Self>>,
}

tokio::task_local! {
    static CURRENT: Arc<Current>;
}

/// Whether any task ever was in one: in most processes none is, and nobody looks further.
static IS_USED: AtomicBool = AtomicBool::new(false);

impl<B: Backend> Handle<B> {
    /// Runs a future in this session: in it handles of the same cluster that are no session's show what the session has written and was told, whatever
    /// freshness they ask for, and what they write is the session's. As long as that is nothing, plain ones show what the process has written, as ever. Tasks that are spawned in it are not in it: they have to be brought
    /// [there](Self::current).
    ///
    /// A limit for calls that the session has counts for those handles, too, unless they have one of their own.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<B, F> {
        IS_USED.store(true, Ordering::Release);
        let session = Arc::new(self.clone());
        async move {
            // Where it runs, which need not be where it was made.
            let outer = CURRENT.try_with(Arc::clone).ok();
            let current = Current { session, was_turned_away: AtomicBool::new(false), outer };
            CURRENT.scope(Arc::new(current), future).await
        }
    }

    /// The session of this cluster that the task is in, if it is in one.
    #[must_use]
    pub fn current(&self) -> Option<Self> {
        if !IS_USED.load(Ordering::Acquire) {
            return None;
        }
        let find = |current: &Arc<Current>| {
            let mut next = Some(current);
            while let Some(current) = next {
                let session = current.session.downcast_ref::<Self>().filter(|session| session.is_of(self));
                if session.is_some() {
                    return session.cloned();
                }
                next = current.outer.as_ref();
            }
            None
        };
        CURRENT.try_with(find).ok().flatten()
    }
}

/// Notes that a call was turned away at once.
pub(crate) fn turned_away() {
    if IS_USED.load(Ordering::Acquire) {
        let _ = CURRENT.try_with(|current| current.was_turned_away.store(true, Ordering::Relaxed));
    }
}

/// Whether a call in the session that the task is in was turned away at once, there being too many
/// ([`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded)): a request may be answered so then.
#[must_use]
pub fn was_turned_away() -> bool {
    CURRENT.try_with(|current| current.was_turned_away.load(Ordering::Relaxed)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use millpond_core::{Access, Freshness, Role, TokenPosition};

    use super::*;
    use crate::testing::{Servers, Where, answers, server};
    use crate::{Cluster, Config, NodeConfig, Statement};

    /// A primary and a replica: servers 1 and 2.
    fn cluster() -> Cluster<Servers> {
        let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
        let nodes = [("a", 1), ("b", 2)].map(|(name, address)| NodeConfig::new(name.into(), address));
        let hour = Duration::from_secs(3600);
        let config =
            Config { catalog_interval: None, max_lag: hour, probe_timeout: hour, ..Config::default() };
        let cluster = Cluster::start(servers, nodes.to_vec(), config).unwrap();
        answers(&cluster, "a", Role::Primary, 1);
        answers(&cluster, "b", Role::Replica, 1);
        cluster
    }

    async fn run(handle: &Handle<Servers>, access: Access) -> u64 {
        let ran = handle.run(Statement::connection(access), &mut Where).await.unwrap();
        if ran == server(1) { 1 } else { 2 }
    }

    fn is_nothing(handle: &Handle<Servers>) -> bool {
        *handle.token().position() == TokenPosition::Nothing
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_session_plain_handles_act_as_it_and_nobody_else_does() {
        let (cluster, other) = (cluster(), cluster());
        let (plain, session) = (cluster.handle(), cluster.handle().session());
        session
            .scope(async {
                assert_eq!(run(&plain, Access::Write).await, 1);
                tokio::time::advance(Duration::from_millis(1)).await;
                plain.wrote();
                assert_eq!(run(&plain, Access::Read).await, 1, "it shows what it wrote");
                let any = plain.with_freshness(Freshness::Any);
                assert_eq!(run(&any, Access::Read).await, 1, "of whatever age");
                assert!(other.handle().current().is_none() && plain.current().is_some());
                // A task of its own is not in it.
                let plain = plain.clone();
                assert!(tokio::spawn(async move { plain.current().is_none() }).await.unwrap());
            })
            .await;
        assert!(!is_nothing(&session) && plain.current().is_none());
        let fresh = plain.session();
        assert_eq!((is_nothing(&fresh), run(&fresh, Access::Read).await), (true, 2));
        assert_eq!(run(&plain.with_freshness(Freshness::Any), Access::Read).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_session_plain_handles_show_what_the_process_has_written_as_ever() {
        let cluster = cluster();
        let plain = cluster.handle();
        tokio::time::advance(Duration::from_millis(1)).await;
        plain.wrote();
        let session = plain.session();
        let token = session
            .scope(async {
                assert_eq!(run(&plain, Access::Read).await, 1, "it shows what another request wrote");
                let any = plain.with_freshness(Freshness::Any);
                assert_eq!(run(&any, Access::Read).await, 2, "who wants any has never asked for that");
                assert_eq!(run(&session, Access::Read).await, 2, "nor has the session itself");
                let work = plain.session().unseen();
                assert_eq!(run(&plain, Access::Read).await, 1);
                drop(work);
                plain.token()
            })
            .await;
        assert_eq!(*token.position(), TokenPosition::Nothing, "it is none of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_clusters_sessions_each_is_found_and_the_inner_one_of_two() {
        let (one, two) = (cluster(), cluster());
        let (outer, inner) = (one.handle().session(), one.handle().session());
        let elsewhere = two.handle().session();
        let nested = outer.scope(elsewhere.scope(async {
            one.handle().wrote();
            inner.scope(async { one.handle().wrote() }).await;
            two.handle().current().is_some()
        }));
        assert!(nested.await);
        assert!(!is_nothing(&outer) && !is_nothing(&inner) && is_nothing(&elsewhere));
    }

    #[tokio::test(start_paused = true)]
    async fn while_unseen_work_is_out_reads_go_to_the_primary_and_then_it_counts_as_written() {
        let cluster = cluster();
        let (plain, session) = (cluster.handle(), cluster.handle().session());
        assert_eq!((run(&plain, Access::Read).await, run(&session, Access::Read).await), (2, 2));
        let work = session.unseen();
        assert_eq!((run(&plain, Access::Read).await, run(&session, Access::Read).await), (1, 1));
        let other = plain.session();
        assert_eq!(run(&other, Access::Read).await, 2, "it is none of its business");
        // Nobody waits for what no replica can show by waiting; who reads from replicas alone does.
        let begun = tokio::time::Instant::now();
        assert_eq!(run(&session.with_wait(Duration::from_secs(9)), Access::Read).await, 1);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let only = session.with_replicas_only();
        let error = only.run(Statement::connection(Access::Read), &mut Where).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NoReplica, "{error}");
        assert!(!is_nothing(&session), "whatever it has committed so far");
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(work);
        assert_eq!((run(&plain, Access::Read).await, run(&session, Access::Read).await), (1, 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        answers(&cluster, "a", Role::Primary, 1);
        answers(&cluster, "b", Role::Replica, 1);
        assert_eq!((run(&plain, Access::Read).await, run(&session, Access::Read).await), (2, 2));
    }
}

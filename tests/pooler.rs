//! Behind a real PgBouncer in transaction mode: no server connection is anybody's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures_util::StreamExt;
use millpond::postgres::tokio_postgres::types::Type;
use millpond::postgres::{Builder, Db, GenericClient, NodeSettings};
use millpond::{ErrorKind, Event, Outcome};
use millpond_lab::{Lab, Node};
use millpond_tests::{Events, reads_on_replica, until};
use tempfile::TempDir;

/// The program: named, in `PATH`, or where `cargo xtask test` puts it.
fn program() -> PathBuf {
    let named = std::env::var_os("MILLPOND_PGBOUNCER").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../xtask/pgbouncer/pgbouncer");
    named.or_else(|| fetched.exists().then_some(fetched)).unwrap_or_else(|| "pgbouncer".into())
}

/// A pooler in front of one node, with one server connection for all clients.
struct Pooler {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Pooler {
    async fn in_front_of(node: &Node) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        std::fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        // It refuses to be root, and reads its files before it is somebody else.
        let user = if rustix::process::geteuid().is_root() { "user = postgres\n" } else { "" };
        let text = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}/users\npool_mode = transaction\n\
             default_pool_size = 1\nmax_prepared_statements = 100\nserver_login_retry = 1\n{user}",
            node.port(),
            folder.path().display(),
        );
        std::fs::write(&settings, text).unwrap();
        let process = Command::new(program())
            .args(["-q".as_ref(), settings.as_os_str()])
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer starts; `cargo xtask test` fetches it, or MILLPOND_PGBOUNCER names it");
        let this = Self { port, process, _folder: folder };
        until("the pooler listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        this
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A cluster of which each node has a pooler in front, and a handle that goes through them.
struct Pooled {
    lab: Lab,
    poolers: Vec<Pooler>,
    events: Events,
    db: Db,
}

impl Pooled {
    async fn up(replicas: usize) -> Self {
        let lab = Lab::builder().replicas(replicas).up().await.unwrap();
        lab.primary().ask("postgres", "create table item (id int primary key, name text)").await.unwrap();
        lab.caught_up().await.unwrap();
        let mut poolers = Vec::new();
        for node in lab.nodes() {
            poolers.push(Pooler::in_front_of(node).await);
        }
        let events = Events::default();
        let db = millpond_tests::with_events(builder(&poolers), &events).connect().await.unwrap();
        let this = Self { lab, poolers, events, db };
        if replicas > 0 {
            until("a replica serves reads", async || reads_on_replica(&this.db).await).await;
        }
        this
    }

    /// Another client of the same poolers.
    async fn other(&self) -> Db {
        builder(&self.poolers).connect().await.unwrap()
    }
}

fn builder(poolers: &[Pooler]) -> Builder {
    let hosts: Vec<_> = poolers.iter().map(|pooler| format!("127.0.0.1:{}", pooler.port)).collect();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", hosts.join(","));
    Db::builder(&url).unwrap().behind_pooler()
}

#[tokio::test]
async fn every_verb_runs_and_reads_are_read_only_on_a_replica() {
    let pooled = Pooled::up(1).await;
    let (db, other) = (&pooled.db, pooled.other().await);
    let place = "select pg_is_in_recovery(), current_setting('transaction_read_only')";
    for db in [db, &other, db, &other] {
        // Two processes prepare statements over one server connection.
        let row = db.query_one(place, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (true, "on"));
        let row = db.latest().query_one(place, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (false, "on"));
    }
    let session = db.session();
    let insert = "insert into item values ($1, $2)";
    for id in 1..4 {
        session.execute(insert, &[&id, &"pond"]).await.unwrap();
        assert_eq!(session.query("select from item", &[]).await.unwrap().len(), usize::try_from(id).unwrap());
    }
    let typed = [(&4 as &(dyn millpond::postgres::tokio_postgres::types::ToSql + Sync), Type::INT4)];
    db.execute_typed("insert into item values ($1, 'typed')", &typed).await.unwrap();
    assert_eq!(db.query_typed("select from item where id = $1", &typed).await.unwrap().len(), 1);
    db.batch_execute("update item set name = 'a'; update item set name = 'b'").await.unwrap();
    assert!(!db.simple_query("select 1; select 2").await.unwrap().is_empty());
    assert_eq!(db.query_raw("select from item", &[]).await.unwrap().count().await, 4);
    let answers = db.batch(&[(insert, &[&5, &"five"]), (insert, &[&5, &"five"])]).await.unwrap();
    assert!(answers[0].is_ok() && answers[1].is_err());
    let transaction = db.begin().await.unwrap();
    transaction.execute(insert, &[&6, &"six"]).await.unwrap();
    transaction.batch_execute("set local work_mem = '1MB'; select pg_advisory_xact_lock(7)").await.unwrap();
    transaction.commit().await.unwrap();
    let mut copy = db.copy_in("copy item from stdin").await.unwrap();
    copy.send("7\tseven\n").await.unwrap();
    copy.finish().await.unwrap();
    assert_eq!(db.copy_out("copy item to stdout").await.unwrap().count().await, 7);
    let lease = db.get().await.unwrap();
    GenericClient::execute(&lease, "begin", &[]).await.unwrap();
    GenericClient::execute(&lease, insert, &[&8, &"left open"]).await.unwrap();
    drop(lease);
    assert_eq!(other.latest().query("select from item", &[]).await.unwrap().len(), 7);
    assert_eq!(pooled.events.count(|event| event.is_warning()), 0);
}

#[tokio::test]
async fn what_would_stay_in_a_connection_is_refused() {
    let pooled = Pooled::up(0).await;
    let db = &pooled.db;
    for sql in [
        "set work_mem = '1MB'; select 1",
        "select set_config('app.tenant', 'ann', false); select 1",
        "create temporary table t (a int); select 1",
        "listen news; select 1",
        "select pg_advisory_lock(7); select 1",
        "begin; set work_mem = '1MB'; commit",
    ] {
        let error = db.batch_execute(sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
        assert!(error.to_string().contains("with_settings()"), "{error}");
        let lease = db.get().await.unwrap();
        let error = GenericClient::batch_execute(&lease, sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
    }
    let transaction = db.begin().await.unwrap();
    transaction.execute("create temp table t (a int)\n  ON COMMIT DROP", &[]).await.unwrap();
    let error = transaction.execute("set work_mem = '1MB'", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    for sql in [
        "select pg_advisory_xact_lock(7), set_config('app.tenant', 'ann', false)",
        "declare c cursor\n with hold for select 1",
        "discard all",
    ] {
        let error = transaction.execute(sql, &[]).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{sql}: {error}");
    }
    let tenant = db.with_settings([("app.tenant", "ann")]).unwrap();
    for refused in [tenant.get().await.unwrap_err(), tenant.get_read().await.unwrap_err()] {
        assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent));
    }
    assert_eq!(db.listener().listen("news").await.unwrap_err().kind(), ErrorKind::SessionStatement);
    let error = builder(&pooled.poolers).after_connect("set work_mem = '1MB'").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn settings_reach_their_statement_and_nobody_elses() {
    let pooled = Pooled::up(1).await;
    let other = pooled.other().await;
    let tenant = pooled.db.with_settings([("app.tenant", "ann"), ("work_mem", "1MB")]).unwrap();
    let show = "select coalesce(current_setting('app.tenant', true), '') || current_setting('work_mem')";
    for _ in 0..3 {
        assert_eq!(tenant.query_one_scalar::<String>(show, &[]).await.unwrap(), "ann1MB");
        assert_eq!(other.query_one_scalar::<String>(show, &[]).await.unwrap(), "4MB");
        tenant
            .execute("insert into item values (1, current_setting('app.tenant')) on conflict do nothing", &[])
            .await
            .unwrap();
        assert_eq!(other.latest().query_one_scalar::<String>(show, &[]).await.unwrap(), "4MB");
    }
    assert_eq!(other.latest().query_scalar::<String>("select name from item", &[]).await.unwrap(), ["ann"]);
}

#[tokio::test]
async fn a_read_that_writes_is_refused_and_runs_on_the_primary() {
    let pooled = Pooled::up(1).await;
    let db = &pooled.db;
    // Its declaration says that it only reads, and the body is not to be read.
    let text = "create function sly() returns int language plpgsql as $$ begin execute 'insert into item values (1, ''sly'')'; return 1; end $$";
    pooled.lab.primary().ask("postgres", text).await.unwrap();
    pooled.lab.caught_up().await.unwrap();
    let allowed = millpond_tests::with_events(builder(&pooled.poolers), &pooled.events).allow_function("sly");
    let sly = allowed.connect().await.unwrap();
    until("reads run on the replica", async || reads_on_replica(&sly).await).await;
    let value: i32 = sly.query_one_scalar("select sly()", &[]).await.unwrap();
    assert_eq!(value, 1);
    assert!(pooled.events.any(|event| matches!(event, Event::Healed { .. })));
    assert_eq!(db.latest().query("select from item", &[]).await.unwrap().len(), 1);
    // On the primary it is the same guard, and no sign that another is the primary.
    db.execute("delete from item", &[]).await.unwrap();
    let latest = builder(&pooled.poolers).allow_function("sly").connect().await.unwrap().latest();
    assert_eq!(latest.query_one_scalar::<i32>("select sly()", &[]).await.unwrap(), 1);
    assert_eq!(latest.status().epoch.get(), 1);
}

#[tokio::test]
async fn who_does_not_say_that_there_is_a_pooler_is_told() {
    let pooled = Pooled::up(1).await;
    let hosts: Vec<_> = pooled.poolers.iter().map(|pooler| format!("127.0.0.1:{}", pooler.port)).collect();
    let direct =
        Db::builder(&format!("postgres://postgres@{}/postgres?sslmode=disable", hosts.join(","))).unwrap();
    let events = Events::default();
    match millpond_tests::with_events(direct, &events).connect().await {
        Err(error) => assert!(error.to_string().contains("behind_pooler()"), "{error}"),
        Ok(db) => {
            // The monitor is let in, and what reads is not.
            let is_told = |event: &Event| matches!(event, Event::ConnectFailed { cause, .. } if cause.contains("behind_pooler()"));
            until("it is told", async || {
                db.any().query("select 1", &[]).await.unwrap();
                events.any(is_told)
            })
            .await;
            assert!(db.status().nodes[1].connect_failures > 0);
            assert_eq!(events.count(|event| is_told(event)), 1, "once");
        }
    }
}

#[tokio::test]
async fn a_full_pool_is_no_dead_server_to_a_monitor_that_goes_past_it() {
    let pooled = Pooled::up(1).await;
    let events = Events::default();
    let mut past = builder(&pooled.poolers);
    for (pooler, node) in pooled.poolers.iter().zip(pooled.lab.nodes()) {
        let (pooler, server) = (format!("127.0.0.1:{}", pooler.port), format!("127.0.0.1:{}", node.port()));
        past = past.node(NodeSettings::new(&pooler).monitored_at(&server));
    }
    let db = millpond_tests::with_events(past, &events).connect().await.unwrap();
    until("a replica serves reads", async || reads_on_replica(&db).await).await;
    // The only connection that the pooler has to the primary.
    let transaction = db.begin().await.unwrap();
    transaction.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let is_down = |event: &Event| matches!(event, Event::NodeDown { .. } | Event::PrimaryLost { .. });
    until("who asks through it takes the primary for dead", async || pooled.events.any(is_down)).await;
    until("a replica still serves reads", async || reads_on_replica(&db).await).await;
    assert!(!events.any(is_down), "{}", db.status());
    transaction.commit().await.unwrap();
    db.execute("insert into item values (2, 'pond')", &[]).await.unwrap();
}

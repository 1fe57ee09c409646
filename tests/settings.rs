//! Settings that statements run with: row security, tenants, roles.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::future::Future;
use std::pin::{Pin, pin};

use futures_util::{StreamExt, poll};
use millpond::postgres::tokio_postgres::types::{ToSql, Type};
use millpond::postgres::{Db, GenericClient};
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, reads_on_replica, until};

/// Two tenants, kept apart by row security and by schemas, over one connection to each node.
async fn tenants(replicas: usize) -> Cluster {
    let cluster = Cluster::up_with(replicas, |builder| builder.max_size(1)).await;
    cluster
        .db
        .batch_execute(
            "create table secret (tenant text default current_setting('app.tenant'), word text);
             insert into secret values ('ann', 'apple'), ('bob', 'banana');
             alter table secret enable row level security;
             create policy own on secret using (tenant = current_setting('app.tenant', true));
             create role tenant; grant all on secret to tenant;
             create schema ann; create table ann.note as select 'ann' as owner, 1 as size; grant usage on schema ann to tenant;
             create schema bob; create table bob.note as select 'bob' as owner, '1' as size; grant all on ann.note to tenant",
        )
        .await
        .unwrap();
    cluster.lab.caught_up().await.unwrap();
    if replicas > 0 {
        until("reads run on the replica", async || reads_on_replica(&cluster.db).await).await;
    }
    cluster
}

fn of(db: &Db, tenant: &str) -> Db {
    db.with_settings([("app.tenant", tenant), ("role", "tenant"), ("search_path", tenant)]).unwrap()
}

const WORDS: &str = "select word from public.secret order by word";

/// What the next user of every connection finds.
async fn assert_nothing_is_left(cluster: &Cluster, when: &str) {
    for db in [cluster.db.any(), cluster.db.latest()] {
        let left = "select current_user || ' ' || coalesce(nullif(current_setting('app.tenant', true), ''), 'nobody')
                    || ' ' || current_setting('search_path')";
        let left: String = db.query_one_scalar(left, &[]).await.unwrap();
        assert_eq!(left, "postgres nobody \"$user\", public", "{when}");
    }
}

#[tokio::test]
async fn every_verb_runs_with_the_settings_and_leaves_none() {
    let cluster = tenants(1).await;
    let (ann, bob) = (of(&cluster.db, "ann"), of(&cluster.db, "bob"));
    let on_replica = "select pg_is_in_recovery()::text, current_setting('transaction_read_only')";
    for _ in 0..2 {
        // The second time the statements are prepared, and all of it is one flight.
        for (db, word) in [(&ann, "apple"), (&bob, "banana")] {
            assert_eq!(db.query_scalar::<String>(WORDS, &[]).await.unwrap(), [word]);
            let row = db.query_one(on_replica, &[]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), ("true", "on"));
            assert_nothing_is_left(&cluster, word).await;
        }
    }
    assert_eq!(ann.execute("insert into public.secret (word) values ('avocado')", &[]).await.unwrap(), 1);
    let word: &(dyn ToSql + Sync) = &"blueberry";
    bob.execute_typed("insert into public.secret (word) values ($1)", &[(word, Type::TEXT)]).await.unwrap();
    let typed =
        bob.query_typed("select word from public.secret where word >= $1 order by 1", &[(&"b", Type::TEXT)]);
    assert_eq!(typed.await.unwrap().len(), 2);
    assert!(!ann.simple_query("select 1; select word from public.secret").await.unwrap().is_empty());
    ann.batch_execute("update public.secret set word = upper(word)").await.unwrap();
    assert_eq!(ann.query_scalar::<String>(WORDS, &[]).await.unwrap(), ["APPLE", "AVOCADO"]);
    let mut rows = pin!(bob.query_raw(WORDS, &[]).await.unwrap());
    let first: String = rows.next().await.unwrap().unwrap().get(0);
    assert_eq!((first.as_str(), rows.count().await), ("banana", 1));
    let answers = ann.batch(&[(WORDS, &[]), ("select count(*) from public.secret", &[])]).await.unwrap();
    assert_eq!(answers[1].as_ref().unwrap()[0].get::<_, i64>(0), 2);
    let mut copied = pin!(bob.copy_out("copy (select word from public.secret) to stdout").await.unwrap());
    assert_eq!(copied.next().await.unwrap().unwrap(), "banana\n");
    assert!(copied.next().await.unwrap().is_ok() && copied.next().await.is_none());
    let mut copy = ann.copy_in("copy note from stdin").await.unwrap();
    copy.send("ann\t2\n").await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 1);
    assert_nothing_is_left(&cluster, "after all verbs").await;
    let all: i64 = cluster.db.latest().query_one_scalar("select count(*) from secret", &[]).await.unwrap();
    let notes: i64 =
        cluster.db.latest().query_one_scalar("select count(*) from ann.note", &[]).await.unwrap();
    assert_eq!((all, notes), (4, 2), "all of it was committed");
}

#[tokio::test]
async fn transactions_and_leases_have_the_settings_until_they_end() {
    let cluster = tenants(0).await;
    let ann = of(&cluster.db, "ann");
    let transaction = ann.begin().await.unwrap();
    transaction.execute("insert into public.secret (word) values ('apricot')", &[]).await.unwrap();
    assert_eq!(transaction.query(WORDS, &[]).await.unwrap().len(), 2);
    transaction.commit().await.unwrap();
    assert_nothing_is_left(&cluster, "a transaction").await;
    let lease = ann.get().await.unwrap();
    assert_eq!(GenericClient::query(&lease, WORDS, &[]).await.unwrap().len(), 2);
    drop(lease);
    assert_nothing_is_left(&cluster, "a lease").await;
    drop(ann.begin_read_only().await.unwrap());
    assert_nothing_is_left(&cluster, "a transaction that was dropped").await;
}

#[tokio::test]
async fn a_prepared_statement_is_that_of_its_search_path() {
    let cluster = tenants(0).await;
    let (ann, bob) = (of(&cluster.db, "ann"), cluster.db.with_settings([("search_path", "bob")]).unwrap());
    for _ in 0..2 {
        let row = ann.query_one("select owner, size from note where size = $1", &[&1_i32]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "ann");
        // The same text, of other types.
        let row = bob.query_one("select owner, size from note where size = $1", &[&"1"]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "bob");
    }
    let zone = |zone| cluster.db.with_settings([("timezone", zone)]).unwrap();
    let hour = "select extract(epoch from '2026-01-01 00:00'::timestamptz)::int8";
    let utc: i64 = zone("UTC").query_one_scalar(hour, &[]).await.unwrap();
    let tokyo: i64 = zone("Asia/Tokyo").query_one_scalar(hour, &[]).await.unwrap();
    assert_eq!(utc - tokyo, 9 * 3600, "a literal is read when the statement is prepared");
    assert_eq!(cluster.db.status().nodes[0].connections, 1, "over one connection");
}

#[tokio::test]
async fn names_under_another_search_path_are_judged_by_the_strictest() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    db.batch_execute(
        "create sequence s; create schema other;
         create function other.item() returns int language sql as 'select 1';
         create view other.counted as select nextval('public.s') as n; create view counted as select 1::bigint as n",
    )
    .await
    .unwrap();
    cluster.lab.caught_up().await.unwrap();
    let read = "select n from counted";
    until("the catalog knows the views", async || db.explain(read).to_string().starts_with("replica")).await;
    let other = db.with_settings([("search_path", "other")]).unwrap();
    assert!(other.explain(read).to_string().starts_with("primary"), "{}", other.explain(read));
    assert_eq!(other.query_one_scalar::<i64>(read, &[]).await.unwrap(), 1);
    // A variable of the application's own moves nothing.
    let same = db.with_settings([("app.tenant", "ann")]).unwrap();
    let is_on_replica = async || same.explain(read).to_string().starts_with("replica");
    until("the replica has what was written", is_on_replica).await;
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_refused_here_or_by_the_server() {
    let cluster = tenants(1).await;
    let db = &cluster.db;
    for name in ["standard_conforming_strings", "transaction_read_only", ""] {
        let error = db.with_settings([(name, "off")]).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Config, Outcome::NotSent), "{error}");
    }
    for (name, value) in [("role", "nobody"), ("work_mem", "much"), ("no_such_setting", "1")] {
        let wrong = db.with_settings([(name, value)]).unwrap();
        for _ in 0..2 {
            let error = wrong.query(WORDS, &[]).await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
            let error = wrong.execute("insert into secret values ('x', 'y')", &[]).await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        }
        assert_nothing_is_left(&cluster, name).await;
    }
    // A text that ends the transaction would end the settings too.
    let error = of(db, "ann").batch_execute("commit; select word from public.secret").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent));
    // What fails is rolled back, and the connection goes on.
    let ann = of(db, "ann");
    for _ in 0..2 {
        let error = ann
            .query("select 1 / length(word) - 5 from public.secret where 1 / 0 = 1", &[])
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some("22012"));
        assert_eq!(ann.query(WORDS, &[]).await.unwrap().len(), 1);
    }
}

type Call<'a> = Pin<Box<dyn Future<Output = millpond::Result<()>> + Send + 'a>>;

/// All that a tenant can do.
fn call(db: &Db, verb: usize) -> Option<Call<'_>> {
    Some(match verb {
        0 => Box::pin(async { db.query(WORDS, &[]).await.map(drop) }),
        1 => Box::pin(async {
            db.execute("insert into public.secret (word) values ('new')", &[]).await.map(drop)
        }),
        2 => Box::pin(async { db.batch_execute("select 1; select 2").await }),
        3 => Box::pin(async {
            let mut rows = pin!(db.query_raw(WORDS, &[]).await?);
            while rows.next().await.transpose()?.is_some() {}
            Ok(())
        }),
        4 => Box::pin(async { db.begin().await?.commit().await }),
        5 => Box::pin(async {
            let lease = db.get().await?;
            GenericClient::query(&lease, WORDS, &[]).await.map(drop)
        }),
        6 => Box::pin(async { db.batch(&[(WORDS, &[]), ("select 1", &[])]).await.map(drop) }),
        7 => Box::pin(async {
            let mut rows = pin!(db.copy_out("copy (select word from public.secret) to stdout").await?);
            while rows.next().await.transpose()?.is_some() {}
            Ok(())
        }),
        8 => Box::pin(async {
            let mut copy = db.copy_in("copy note from stdin").await?;
            copy.send("ann\t2\n").await?;
            copy.finish().await.map(drop)
        }),
        _ => return None,
    })
}

/// Polls a call so often, letting the driver work in between, and drops it.
async fn dropped_after(polls: usize, mut call: Call<'_>) -> bool {
    for _ in 0..polls {
        if poll!(call.as_mut()).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn no_tenant_sees_anothers_rows_whenever_a_call_is_dropped() {
    let cluster = tenants(0).await;
    let (ann, bob) = (of(&cluster.db, "ann"), of(&cluster.db, "bob"));
    for verb in 0.. {
        let Some(_) = call(&ann, verb) else { break };
        for polls in 0..80 {
            let is_done = dropped_after(polls, call(&ann, verb).unwrap()).await;
            let when = format!("verb {verb} dropped after {polls} polls");
            let words: Vec<String> = bob.query_scalar(WORDS, &[]).await.unwrap();
            assert_eq!(words, ["banana"], "{when}");
            let owner: String =
                bob.query_one_scalar("select current_setting('app.tenant')", &[]).await.unwrap();
            assert_eq!(owner, "bob", "{when}");
            assert_nothing_is_left(&cluster, &when).await;
            if is_done {
                break;
            }
        }
    }
    let strays = "select count(*) from secret where tenant not in ('ann', 'bob')";
    assert_eq!(cluster.db.query_one_scalar::<i64>(strays, &[]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_transaction_with_settings_prepares_is_its_own() {
    let cluster = Cluster::up_with(0, |builder| builder.max_size(1)).await;
    let db = &cluster.db;
    let day = "select '01/02/2026'::date::text";
    let scoped = db.with_settings([("datestyle", "ISO, DMY")]).unwrap();
    for _ in 0..2 {
        let transaction = scoped.begin().await.unwrap();
        assert_eq!(transaction.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-02-01");
        transaction.rollback().await.unwrap();
        assert_eq!(db.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-01-02");
        assert_eq!(scoped.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-02-01");
    }
    // By ways that are not seen.
    let lease = db.get().await.unwrap();
    (*lease).batch_execute("set datestyle = 'ISO, DMY'").await.unwrap();
    assert_eq!(GenericClient::query_one_scalar::<String>(&lease, day, &[]).await.unwrap(), "2026-02-01");
    drop(lease);
    assert_eq!(db.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-01-02");
    let sets = "create function sets() returns text language sql as $$ select set_config('datestyle', 'ISO, DMY', false) $$";
    db.batch_execute(sets).await.unwrap();
    let transaction = db.begin().await.unwrap();
    transaction.query("select sets()", &[]).await.unwrap();
    assert_eq!(transaction.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-02-01");
    transaction.commit().await.unwrap();
    assert_eq!(db.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-01-02");
    // By every other way to send a text.
    let setter = "select sets()";
    for way in 0..5 {
        let transaction = db.begin().await.unwrap();
        transaction.query("set datestyle = 'ISO, MDY'", &[]).await.unwrap();
        assert_eq!(transaction.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-01-02", "{way}");
        match way {
            0 => drop(transaction.query_raw(setter, &[]).await.unwrap().collect::<Vec<_>>().await),
            1 => drop(transaction.query_typed_raw(setter, &[]).await.unwrap().collect::<Vec<_>>().await),
            2 => drop(
                transaction
                    .copy_out("copy (select sets()) to stdout")
                    .await
                    .unwrap()
                    .collect::<Vec<_>>()
                    .await,
            ),
            // What comes first in a batch is prepared before, and what comes behind runs after.
            3 => drop(transaction.batch(&[(day, &[]), (setter, &[]), (day, &[])]).await.unwrap()),
            _ => transaction.batch_execute(setter).await.unwrap(),
        }
        assert_eq!(transaction.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-02-01", "{way}");
        transaction.commit().await.unwrap();
        assert_eq!(db.query_one_scalar::<String>(day, &[]).await.unwrap(), "2026-01-02", "{way}");
    }
    // What is prepared by hand on a lease, too.
    let lease = db.get().await.unwrap();
    GenericClient::query(&lease, setter, &[]).await.unwrap();
    let statement = lease.prepare_cached(day).await.unwrap();
    assert_eq!((*lease).query_one(&statement, &[]).await.unwrap().get::<_, &str>(0), "2026-02-01");
}

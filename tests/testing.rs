//! A handle whose work is rolled back, for tests of services.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use millpond::postgres::tokio_postgres::types::ToSql;
use millpond::postgres::{Db, GenericClient};
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, until};

async fn count(db: &Db) -> i64 {
    db.query_one_scalar("select count(*) from item", &[]).await.unwrap()
}

#[tokio::test]
async fn all_that_runs_in_it_is_seen_in_it_and_rolled_back() {
    let cluster = Cluster::up(0).await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    db.execute("insert into item values (1, 'one')", &[]).await.unwrap();
    // A statement that fails, and a transaction that is left, take only themselves back.
    assert_eq!(
        db.execute("insert into item values (1, 'one')", &[]).await.unwrap_err().code(),
        Some("23505")
    );
    let transaction = db.begin().await.unwrap();
    transaction.execute("insert into item values (2, 'two')", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = db.begin().await.unwrap();
    transaction.execute("insert into item values (3, 'three')", &[]).await.unwrap();
    let part = transaction.savepoint().await.unwrap();
    part.execute("insert into item values (4, 'four')", &[]).await.unwrap();
    part.commit().await.unwrap();
    transaction.rollback().await.unwrap();
    drop(db.begin().await.unwrap());
    let aborted = db.begin().await.unwrap();
    aborted.execute("select 1 / 0", &[]).await.unwrap_err();
    assert_eq!(aborted.commit().await.unwrap_err().outcome(), Outcome::Rejected);
    let reading = db.begin_read_only().await.unwrap();
    assert_eq!(
        reading.execute("insert into item values (5, 'x')", &[]).await.unwrap_err().code(),
        Some("25006")
    );
    drop(reading);
    // Every other verb.
    db.batch_execute("insert into item values (6, 'six'); insert into item values (7, 'seven')")
        .await
        .unwrap();
    assert_eq!(db.query_raw("select from item", &[]).await.unwrap().count().await, 4);
    db.batch(&[("insert into item values (8, 'eight')", &[]), ("select 1 / 0", &[])]).await.unwrap();
    let mut copy = db.copy_in("copy item from stdin").await.unwrap();
    copy.send("9\tnine\n").await.unwrap();
    copy.finish().await.unwrap();
    let lease = db.get().await.unwrap();
    lease.execute("insert into item values (10, 'ten')", &[]).await.unwrap();
    drop(lease);
    let session = db.session();
    session.execute("insert into item values (11, 'eleven')", &[]).await.unwrap();
    assert_eq!((count(&db).await, count(&cluster.db).await), (8, 0));
    drop((db, session));
    let open = "select count(*)::text from pg_stat_activity where state like 'idle in transaction%'";
    until("it is rolled back", async || cluster.ask("db-0", open).await == "0").await;
    assert_eq!(count(&cluster.db).await, 0);
}

#[tokio::test]
async fn settings_hold_for_their_statement_only() {
    let cluster = Cluster::up(0).await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    let tenant = db.with_settings([("app.tenant", "ann"), ("work_mem", "1MB")]).unwrap();
    let show = "select coalesce(current_setting('app.tenant', true), '') || current_setting('work_mem')";
    for _ in 0..2 {
        assert_eq!(tenant.query_one_scalar::<String>(show, &[]).await.unwrap(), "ann1MB");
        assert_eq!(db.query_one_scalar::<String>(show, &[]).await.unwrap(), "4MB");
        tenant.query("select 1 / 0", &[]).await.unwrap_err();
        let rows: Vec<_> = tenant.query_raw(show, &[]).await.unwrap().collect().await;
        assert_eq!(rows[0].as_ref().unwrap().get::<_, &str>(0), "ann1MB");
        assert_eq!(db.query_one_scalar::<String>(show, &[]).await.unwrap(), "4MB");
    }
}

#[tokio::test]
async fn settings_end_with_their_transaction_or_lease() {
    let cluster = Cluster::up(0).await;
    cluster.db.batch_execute("create role tenant").await.unwrap();
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    let tenant = db.with_settings([("app.tenant", "ann"), ("role", "tenant")]).unwrap();
    let show = "select current_user || coalesce(current_setting('app.tenant', true), '')";
    let shown = async || db.query_one_scalar::<String>(show, &[]).await.unwrap();
    for is_kept in [true, false] {
        let transaction = tenant.begin().await.unwrap();
        assert_eq!(transaction.query_one_scalar::<String>(show, &[]).await.unwrap(), "tenantann");
        if is_kept {
            transaction.commit().await.unwrap()
        } else {
            drop(transaction)
        }
        assert_eq!(shown().await, "postgres");
        let lease = tenant.get().await.unwrap();
        assert_eq!(GenericClient::query_one_scalar::<String>(&lease, show, &[]).await.unwrap(), "tenantann");
        drop(lease);
        assert_eq!(shown().await, "postgres");
    }
}

#[tokio::test]
async fn what_fails_on_a_lease_leaves_the_rest() {
    let cluster = Cluster::up(0).await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    db.execute("insert into item values (1, 'one')", &[]).await.unwrap();
    let lease = db.get().await.unwrap();
    let late = "select 1 / (3 - n) from generate_series(1, 5) n";
    for failing in ["select from nowhere", "select 1 / 0", late] {
        assert!(GenericClient::query(&lease, failing, &[]).await.is_err());
        let rows: Result<Vec<_>, _> = match GenericClient::query_raw(&lease, failing, &[]).await {
            Ok(rows) => rows.try_collect().await,
            Err(error) => Err(error),
        };
        assert!(rows.is_err(), "{failing}");
        let rows = GenericClient::query_raw(&lease, "select from item", &[]).await.unwrap();
        assert_eq!(rows.count().await, 1, "behind {failing}");
        let insert: (&str, &[&(dyn ToSql + Sync)]) =
            ("insert into item select count(*) + 1, 'more' from item", &[]);
        let answers = lease.batch(&[insert, (failing, &[]), insert]).await.unwrap();
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true], "{failing}");
        GenericClient::execute(&lease, "delete from item where id > 1", &[]).await.unwrap();
    }
    drop(lease);
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn nothing_ends_the_transaction_but_its_end() {
    let cluster = Cluster::up(0).await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    db.execute("insert into item values (1, 'one')", &[]).await.unwrap();
    for sql in ["commit", "begin; insert into item values (2, ''); commit", "rollback"] {
        let error = db.batch_execute(sql).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SessionStatement, Outcome::NotSent), "{sql}");
        let lease = db.get().await.unwrap();
        let error = GenericClient::batch_execute(&lease, sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionStatement, "{sql}");
    }
    assert_eq!((count(&db).await, count(&cluster.db).await), (1, 0));
    // A call that is given up ends it, and all that come later say so.
    let late = db.timeout(Duration::from_millis(100)).query("select pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let asked = std::time::Instant::now();
    let error = db.query("select 1", &[]).await.unwrap_err();
    assert!(error.to_string().contains("transaction of the test is over"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(2), "at once");
    assert_eq!(count(&cluster.db).await, 0);
}

#[tokio::test]
async fn nobody_commits_it() {
    let cluster = Cluster::up(0).await;
    let db = Db::for_test(cluster.db.begin().await.unwrap()).unwrap();
    let mut lease = db.get().await.unwrap();
    // A failure by the verbs leaves the rest.
    GenericClient::execute(&lease, "select 1 / 0", &[]).await.unwrap_err();
    GenericClient::execute(&lease, "insert into item values (1, 'kept')", &[]).await.unwrap();
    let transaction = lease.transaction().await.unwrap();
    transaction.execute("insert into item values (2, 'pond')", &[]).await.unwrap();
    assert!(transaction.commit().await.is_err(), "the driver's own COMMIT");
    drop((lease, db));
    assert_eq!(count(&cluster.db).await, 0);
}

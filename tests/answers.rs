//! Answers that end where they should not, and statements that no server takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures_util::StreamExt;
use millpond::postgres::Db;
use millpond::postgres::tokio_postgres::types::ToSql;
use millpond::{ErrorKind, Outcome};
use millpond_tests::{Cluster, is_clean, one_connection, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A way to a server on which answers can be cut short, and a word of what is asked be another.
#[derive(Clone)]
struct Scissors {
    port: u16,
    cuts: Arc<Cuts>,
}

struct Cuts {
    /// So many bytes pass, and then the connection ends; below zero all do.
    left: AtomicI64,
    /// Whether what is sent as BEGIN arrives as what no server takes.
    no_begin: AtomicBool,
}

impl Scissors {
    async fn in_front_of(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cuts = Arc::new(Cuts { left: AtomicI64::new(-1), no_begin: AtomicBool::new(false) });
        let this = Self { port: listener.local_addr().unwrap().port(), cuts: Arc::clone(&cuts) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&cuts)));
            }
        });
        this
    }

    async fn handle(&self) -> Db {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        Db::builder(&url).unwrap().max_size(1).connect().await.unwrap()
    }

    /// Lets so many bytes pass from now on, and then none.
    fn cut_after(&self, bytes: i64) {
        self.cuts.left.store(bytes, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.cuts.left.load(Ordering::SeqCst) == 0
    }

    fn mend(&self) {
        self.cuts.left.store(-1, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, server: TcpStream, cuts: Arc<Cuts>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asked = Arc::clone(&cuts);
    let asks = tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            let begin = bytes[..count].windows(5).position(|word| word == b"BEGIN");
            if let Some(begin) = begin.filter(|_| asked.no_begin.load(Ordering::SeqCst)) {
                bytes[begin..begin + 5].copy_from_slice(b"BEGUN");
            }
            if to_server.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    });
    let left = &cuts.left;
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        let most = left.load(Ordering::SeqCst);
        let passes = if most < 0 { count } else { count.min(usize::try_from(most).unwrap()) };
        if to_client.write_all(&bytes[..passes]).await.is_err() {
            break;
        }
        if most >= 0
            && left.fetch_sub(i64::try_from(passes).unwrap(), Ordering::SeqCst)
                <= i64::try_from(passes).unwrap()
        {
            break;
        }
    }
    asks.abort();
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_an_error_wherever_that_is() {
    let cluster = Cluster::up(0).await;
    let scissors = Scissors::in_front_of(cluster.lab.primary().direct_port()).await;
    let db = scissors.handle().await;
    let node = format!("127.0.0.1:{}", scissors.port);
    let read = "select n, repeat('x', 20) from generate_series(1, 3) n";
    let write =
        "insert into item values (1, 'pond') on conflict (id) do update set name = 'lake' returning name";
    let is_whole = async || {
        scissors.mend();
        // On a busy machine the monitor can take the node for silent meanwhile.
        until("reads run again", async || db.query(read, &[]).await.is_ok_and(|rows| rows.len() == 3)).await;
        until("writes run again", async || db.query(write, &[]).await.is_ok()).await;
    };
    is_whole().await;
    for cut in 0..600 {
        scissors.cut_after(cut);
        let result = db.query(read, &[]).await;
        if result.is_ok() && !scissors.is_cut() {
            assert!(cut > 60, "{cut}");
            break;
        }
        // What was cut behind the last message leaves the answer whole.
        if let Err(error) = result {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::ConnectionLost, Outcome::MayHaveRun),
                "{cut}: {error}"
            );
            assert_eq!(error.node(), Some(&*node), "{error}");
        }
        is_whole().await;
        scissors.cut_after(cut);
        if let Err(error) = db.query(write, &[]).await {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::ConnectionLost, Outcome::MayHaveRun),
                "{cut}: {error}"
            );
        }
        is_whole().await;
        scissors.cut_after(cut);
        let rows: Vec<_> = match db.query_raw(read, &[]).await {
            Ok(rows) => rows.collect().await,
            Err(error) => vec![Err(error)],
        };
        let good = rows.iter().filter(|row| row.is_ok()).count();
        if let Some(error) = rows.iter().find_map(|row| row.as_ref().err()) {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::ConnectionLost, Outcome::MayHaveRun),
                "{cut}: {error}"
            );
            assert!(rows.len() == good + 1 && rows[good].is_err(), "nothing comes behind it");
        } else {
            assert_eq!(good, 3, "{cut}");
        }
        is_whole().await;
    }
}

#[tokio::test]
async fn nothing_runs_without_its_settings_when_begin_fails() {
    let cluster = Cluster::up(0).await;
    let scissors = Scissors::in_front_of(cluster.lab.primary().direct_port()).await;
    let db = scissors.handle().await;
    let tenant = db.with_settings([("app.tenant", "ann")]).unwrap();
    let insert = "insert into item values (1, current_setting('app.tenant'))";
    let name = "select current_setting('app.tenant', true)";
    // The second time they are prepared.
    for _ in 0..2 {
        db.execute("delete from item", &[]).await.unwrap();
        tenant.execute(insert, &[]).await.unwrap();
        assert_eq!(tenant.query_one_scalar::<String>(name, &[]).await.unwrap(), "ann");
    }
    db.execute("delete from item", &[]).await.unwrap();
    scissors.cuts.no_begin.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = tenant.execute(insert, &[]).await.unwrap_err();
        assert_eq!((error.code(), error.outcome()), (Some("42601"), Outcome::Rejected), "{error}");
        let error = tenant.batch_execute("insert into item values (2, 'x')").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        let batch: (&str, &[&(dyn ToSql + Sync)]) = (insert, &[]);
        assert!(tenant.batch(&[batch, batch]).await.unwrap().iter().all(Result::is_err));
        assert!(tenant.query(name, &[]).await.is_err());
        assert!(tenant.query_raw(name, &[]).await.is_err());
        assert!(tenant.copy_in("copy item from stdin").await.is_err());
        assert!(tenant.begin().await.is_err());
        assert_eq!(db.query("select from item", &[]).await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn what_is_no_answer_at_all_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // To whoever speaks PostgreSQL it is a message of half a gibibyte.
            client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    let connect = Db::builder(&url).unwrap().connect_timeout(std::time::Duration::from_secs(2)).connect();
    let error = connect.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Start, Outcome::NotSent), "{error}");
}

#[tokio::test]
async fn too_many_and_too_few_values_are_errors_and_no_more() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let wrong: [(&str, &[&(dyn ToSql + Sync)]); 4] = [
        ("select $1::int", &[]),
        ("select $1::int", &[&1, &2]),
        ("select 1", &[&1]),
        ("insert into item values ($1, $2)", &[&1_i64, &"pond"]),
    ];
    for (sql, values) in wrong {
        for error in [
            db.query(sql, values).await.unwrap_err(),
            db.execute(sql, values).await.unwrap_err(),
            db.query_raw(sql, values).await.err().unwrap(),
        ] {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::Rejected, Outcome::NotSent),
                "{sql}: {error}"
            );
            assert!(error.node().is_some());
        }
    }
    // One more than the protocol can count.
    let places: Vec<_> = (1..=65_536).map(|n| format!("${n}::int")).collect();
    let sql = format!("select {}", places.join(" + "));
    let value: &(dyn ToSql + Sync) = &1;
    let error = db.query(&sql, &vec![value; 65_536]).await.unwrap_err();
    assert_ne!(error.outcome(), Outcome::MayHaveRun, "{error}");
    assert!(is_clean(db).await);
    assert_eq!(db.status().nodes[0].connections, 1, "the connection is still the same");
    let answers = db.batch(&[(wrong[3].0, wrong[3].1), ("select 1", &[])]).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().outcome(), Outcome::NotSent);
    assert!(answers[1].is_ok());
}

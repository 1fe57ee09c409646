//! What a subscriber of `tracing` sees of statements: where they went and why, and never what stood in them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use millpond::postgres::GenericClient;
use millpond_tests::{Cluster, until};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// Keeps the fields of every span of a statement, in the order of their beginnings.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "statement"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Into(&mut spans[index]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_statement_has_a_span_that_says_where_it_went_and_why() {
    let cluster = Cluster::up(1).await;
    let (db, spans) = (&cluster.db, Spans::default());
    let guard = tracing::subscriber::set_default(spans.clone());
    db.execute("insert into item values ($1, 'a secret')", &[&1]).await.unwrap();
    db.query("select name from item where name = 'a secret'", &[]).await.unwrap();
    db.any().query("select name from item where id = $1", &[&1]).await.unwrap();
    db.latest().query("select 1 / (id - 1) from item", &[]).await.unwrap_err();
    drop(guard);
    db.query("select name from item", &[]).await.unwrap();
    let spans = spans.0.lock().unwrap();
    let of = |index: usize, name: &str| spans[index].get(name).map(String::as_str);
    assert_eq!(spans.len(), 4, "one for each, and none when nobody listens");
    let port = |node: &str| cluster.lab.node(node).unwrap().port().to_string();
    for index in 0..4 {
        assert_eq!(of(index, "db.system.name"), Some("\"postgresql\""));
        assert_eq!(of(index, "db.namespace"), Some("\"postgres\""));
        assert_eq!(of(index, "db.collection.name"), Some("item"));
        let (verb, summary) =
            if index == 0 { ("\"INSERT\"", "\"INSERT item\"") } else { ("\"SELECT\"", "\"SELECT item\"") };
        assert_eq!(of(index, "db.operation.name"), Some(verb));
        assert_eq!((of(index, "db.query.summary"), of(index, "otel.name")), (Some(summary), Some(summary)));
        assert_eq!(of(index, "server.address"), Some("\"127.0.0.1\""));
        assert_eq!(of(index, "millpond.digest").map(str::len), Some(16));
        assert!(of(index, "millpond.wait_ms").is_some());
    }
    assert_eq!((of(0, "millpond.role"), of(0, "server.port")), (Some("\"primary\""), Some(&*port("db-0"))));
    assert_eq!(of(0, "millpond.reason"), Some("\"not_a_read\""));
    assert_eq!((of(2, "millpond.role"), of(2, "server.port")), (Some("\"replica\""), Some(&*port("db-1"))));
    assert_eq!(of(2, "millpond.reason"), Some("\"fresh_replica\""));
    assert!(of(2, "millpond.lag_ms").is_some());
    assert_eq!(of(3, "millpond.reason"), Some("\"asked_for_primary\""));
    assert_eq!(
        (of(3, "db.response.status_code"), of(3, "error.type")),
        (Some("\"22012\""), Some("Rejected"))
    );
    assert_eq!(of(2, "error.type"), None);
    assert!(!format!("{spans:?}").contains("secret"));
}

#[tokio::test]
async fn a_statement_that_went_on_says_so() {
    let cluster = Cluster::up(2).await;
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    cluster.lab.node("db-1").unwrap().kill().await.unwrap();
    until("one went on to another node", async || {
        cluster.db.query("select from item", &[]).await.unwrap();
        let spans = spans.0.lock().unwrap();
        spans.iter().any(|fields| fields.get("millpond.tries").is_some_and(|tries| tries == "2"))
            || cluster.db.status().retried == 0 && spans.len() > 200
    })
    .await;
    assert!(spans.0.lock().unwrap().iter().all(|fields| !fields.contains_key("error.type")));
}

#[tokio::test]
async fn statements_of_transactions_and_leases_have_spans_too() {
    let cluster = Cluster::up(1).await;
    let (db, spans) = (&cluster.db, Spans::default());
    let _guard = tracing::subscriber::set_default(spans.clone());
    let transaction = db.begin().await.unwrap();
    transaction.execute("insert into item values (1)", &[]).await.unwrap();
    transaction.batch(&[("select 1 from item", &[]), ("delete from item", &[])]).await.unwrap();
    transaction.commit().await.unwrap();
    let lease = db.any().get_read().await.unwrap();
    GenericClient::query(&lease, "select 1 / 0 from item", &[]).await.unwrap_err();
    drop(lease);
    let spans = spans.0.lock().unwrap();
    let all = |name: &str| -> Vec<Option<String>> {
        spans.iter().map(|fields| fields.get(name).map(|value| value.trim_matches('"').to_owned())).collect()
    };
    let some = |values: &[&str]| -> Vec<_> { values.iter().map(|value| Some((*value).to_owned())).collect() };
    let names = ["BEGIN", "INSERT item", "SELECT item DELETE", "COMMIT", "connection", "SELECT item"];
    assert_eq!(all("otel.name"), some(&names));
    let roles = ["primary", "primary", "primary", "primary", "replica", "replica"];
    assert_eq!(all("millpond.role"), some(&roles));
    let routed: Vec<bool> = all("millpond.reason").iter().map(Option::is_some).collect();
    assert_eq!(routed, [true, false, false, false, true, false], "a node is chosen once");
    let codes = all("db.response.status_code");
    assert_eq!((&codes[..5], codes[5].as_deref()), (&[const { None }; 5][..], Some("22012")));
    let replica = cluster.lab.node("db-1").unwrap().port().to_string();
    assert_eq!(all("server.port")[5], Some(replica));
}

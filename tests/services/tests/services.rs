//! Each service does the same before and after the change of its pool.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use millpond_lab::{Lab, StopMode};
use millpond_service_tests::{Answer, Client, Service, cluster, looks_of_replicas, until};
use serde_json::{Value, json};
use tokio::time::interval;

/// A cluster, and a service on it: one that takes a single node is led to the primary.
async fn start(name: &str) -> (Lab, Service) {
    let lab = cluster().await;
    let url = if name.starts_with("after") { lab.url("postgres") } else { lab.primary().url("postgres") };
    let service = Service::start(name, &url).await;
    if name == "after-deadpool" {
        // A pool of replicas finds its tables there as late as anything else: traffic comes behind that.
        lab.caught_up().await.expect("replicas catch up");
    }
    (lab, service)
}

async fn the_core(name: &str) {
    let (lab, service) = start(name).await;
    let client = service.client();
    assert_eq!(client.get("/health").await.status, 200);
    items(&client).await;
    orders(&client).await;
    orders_at_the_same_time(&client, &lab).await;
    without_a_primary(&client, &lab).await;
}

async fn items(client: &Client) {
    let added = client.post("/items", &json!({ "name": "carp", "stock": 5 })).await;
    assert_eq!(added.status, 201);
    let id = added.id();
    let carp = json!({ "id": id, "name": "carp", "stock": 5 });
    assert_eq!(client.get_behind(&added, &format!("/items/{id}")).await.json(), carp);
    assert_eq!(client.get(&format!("/items/{}", id + 1000)).await.status, 404);
    let tench = client.post("/items", &json!({ "name": "tench", "stock": 0 })).await.id();
    let listed = async |limit: u32| {
        let answer = client.get(&format!("/items?limit={limit}")).await;
        let Value::Array(list) = answer.json() else { panic!("no list: {answer:?}") };
        list.iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    // Lists need not show it at once everywhere.
    until("both are listed", async || listed(2).await == [json!(id), json!(tench)]).await;
    until("one is listed", async || listed(1).await == [json!(id)]).await;
    assert_eq!(client.post("/items", &json!({ "name": "bream", "stock": -1 })).await.status, 422);
    assert_eq!(client.post("/items", &json!({ "name": "bream" })).await.status, 422);
    assert_eq!(client.get("/items/none").await.status, 400);
}

async fn orders(client: &Client) {
    let item = client.post("/items", &json!({ "name": "perch", "stock": 3 })).await.id();
    let stock = async |behind: &Answer| {
        client.get_behind(behind, &format!("/items/{item}")).await.json()["stock"].clone()
    };
    let order =
        async |count: i32| client.post(&format!("/items/{item}/orders"), &json!({ "count": count })).await;
    let placed = order(2).await;
    assert_eq!(placed.status, 201);
    let recorded = client.get_behind(&placed, &format!("/orders/{}", placed.id())).await;
    assert_eq!(recorded.json(), json!({ "id": placed.id(), "item": item, "count": 2 }));
    assert_eq!(stock(&placed).await, json!(1));
    assert_eq!(order(2).await.status, 409);
    // Of these the stock is taken, and given back when they cannot be recorded.
    assert_eq!(order(-4).await.status, 422);
    assert_eq!(stock(&placed).await, json!(1));
    let nothing = client.post("/items/100000/orders", &json!({ "count": 1 })).await;
    assert_eq!(nothing.status, 404);
    assert_eq!(client.get("/orders/100000").await.status, 404);
}

async fn orders_at_the_same_time(client: &Client, lab: &Lab) {
    let item = client.post("/items", &json!({ "name": "roach", "stock": 100 })).await.id();
    let path = format!("/items/{item}/orders");
    let order = async |count: i64| (count, client.post(&path, &json!({ "count": count })).await);
    // Together they want more than there is.
    let answers = join_all((0..60).map(|number| order(1 + number % 5))).await;
    let mut sold = 0;
    for (count, answer) in answers {
        match answer.status {
            201 => {
                let order = client.get_behind(&answer, &format!("/orders/{}", answer.id())).await;
                assert_eq!(order.json()["count"], json!(count));
                sold += count;
            }
            status => assert_eq!(status, 409, "{answer:?}"),
        }
    }
    // No answer of theirs is behind all of them.
    lab.caught_up().await.expect("replicas catch up");
    let left = client.get(&format!("/items/{item}")).await.json()["stock"].as_i64().expect("a stock");
    assert_eq!(sold + left, 100);
    assert!(left < 5, "all were served that could be");
}

/// What cannot be done is told so, and done when the primary is back.
async fn without_a_primary(client: &Client, lab: &Lab) {
    let add = async || client.post("/items", &json!({ "name": "eel", "stock": 1 })).await;
    lab.primary().stop(StopMode::Immediate).await.expect("it stops");
    let refused = add().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(client.get("/health").await.status, 200);
    lab.primary().start().await.expect("it starts");
    until("it serves again", async || {
        let answer = add().await;
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
        answer.status == 201
    })
    .await;
}

#[tokio::test]
async fn the_core_of_before_sqlx() {
    the_core("before-sqlx").await;
}

#[tokio::test]
async fn the_core_of_after_sqlx() {
    the_core("after-sqlx").await;
}

#[tokio::test]
async fn the_core_of_before_deadpool() {
    the_core("before-deadpool").await;
}

#[tokio::test]
async fn the_core_of_after_deadpool() {
    the_core("after-deadpool").await;
}

#[tokio::test]
async fn the_core_of_before_sea_orm() {
    the_core("before-sea-orm").await;
}

#[tokio::test]
async fn the_core_of_after_sea_orm() {
    the_core("after-sea-orm").await;
}

#[tokio::test]
async fn the_core_of_before_diesel() {
    the_core("before-diesel").await;
}

#[tokio::test]
async fn the_core_of_after_diesel() {
    the_core("after-diesel").await;
}

async fn what_only_sqlx_has(name: &str) {
    let (_lab, service) = start(name).await;
    let client = service.client();
    import_and_export(&client).await;
    an_order_is_heard_of(&client).await;
    assert_eq!(client.get("/orders/next").await.status, 204);
    tenants(&client).await;
}

async fn import_and_export(client: &Client) {
    let csv: String = (0..1000).map(|number| format!("item {number},{}\n", number % 7)).collect();
    let imported = client.post_csv("/items/import", &csv).await;
    assert_eq!(imported.json(), json!({ "imported": 1000 }));
    // What was imported is there at once, for reads that go wherever they go.
    let listed = client.get_behind(&imported, "/items?limit=2000").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1000));
    assert_eq!(client.get("/items/export").await.text, csv);
    // All or nothing.
    assert_eq!(client.post_csv("/items/import", "trout,1\npike,many\n").await.status, 422);
    assert_eq!(client.get("/items/export").await.text, csv);
    let quoted = "\"a carp, and \"\"another\"\"\",2\n";
    assert_eq!(client.post_csv("/items/import", quoted).await.json(), json!({ "imported": 1 }));
    assert!(client.get("/items/export").await.text.ends_with(quoted));
}

async fn an_order_is_heard_of(client: &Client) {
    let item = client.post("/items", &json!({ "name": "pike", "stock": 1000 })).await.id();
    let path = format!("/items/{item}/orders");
    let (mut placed, mut ticks) = (BTreeMap::new(), interval(Duration::from_millis(20)));
    let next = client.get("/orders/next");
    tokio::pin!(next);
    // Nobody sees from outside when the service has begun to wait: there is always another.
    let heard = loop {
        tokio::select! {
            answer = &mut next => break answer,
            _ = ticks.tick() => {
                let answer = client.post(&path, &json!({ "count": 1 })).await;
                placed.insert(answer.id(), answer);
            }
        }
    };
    assert_eq!(heard.status, 200);
    let Some(answer) = placed.get(&heard.id()) else { panic!("{heard:?} is none of {placed:?}") };
    let order = client.get_behind(answer, &format!("/orders/{}", heard.id())).await;
    assert_eq!(order.json()["item"], json!(item));
}

async fn tenants(client: &Client) {
    let post = async |tenant: &'static str, number: usize| {
        let text = format!("{tenant} {number}");
        let answer = client.post_as(tenant, "/notes", &json!({ "text": text })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    let notes = async |tenant: &'static str| {
        let answer = client.get_as(tenant, "/notes").await;
        let Value::Array(notes) = answer.json() else { panic!("no list: {answer:?}") };
        let text = |note: &Value| note["text"].as_str().expect("a text").to_owned();
        notes.iter().map(text).collect::<BTreeSet<_>>()
    };
    let request = async |number: usize| {
        let tenant = ["ann", "bob"][number % 2];
        post(tenant, number).await;
        let seen = notes(tenant).await;
        assert!(seen.contains(&format!("{tenant} {number}")), "{tenant} does not see {number}");
        let strange: Vec<_> = seen.iter().filter(|text| !text.starts_with(tenant)).collect();
        assert!(strange.is_empty(), "{tenant} sees {strange:?}");
    };
    for batch in 0..20 {
        join_all((0..20).map(|number| request(20 * batch + number))).await;
    }
    assert_eq!((notes("ann").await.len(), notes("bob").await.len()), (200, 200));
    assert_eq!(notes("eve").await.len(), 0);
    assert_eq!(client.get("/notes").await.status, 400);
}

#[tokio::test]
async fn what_only_sqlx_has_before() {
    what_only_sqlx_has("before-sqlx").await;
}

#[tokio::test]
async fn what_only_sqlx_has_after() {
    what_only_sqlx_has("after-sqlx").await;
}

/// No restart, and no other address.
async fn goes_on_with_a_new_primary(name: &str) -> (Lab, Service) {
    let (lab, service) = start(name).await;
    let client = service.client();
    let add = async || client.post("/items", &json!({ "name": "zander", "stock": 1 })).await;
    let before = add().await;
    lab.caught_up().await.expect("replicas catch up");
    lab.primary().kill().await.expect("it is killed");
    lab.node("db-1").expect("a replica").promote().await.expect("it is promoted");
    let mut behind = None;
    until("the new primary takes writes", async || {
        let answer = add().await;
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
        behind = (answer.status == 201).then_some(answer);
        behind.is_some()
    })
    .await;
    for added in [before, behind.expect("an item")] {
        let path = format!("/items/{}", added.id());
        assert_eq!(client.get_behind(&added, &path).await.json()["name"], json!("zander"));
    }
    (lab, service)
}

#[tokio::test]
async fn after_sqlx_goes_on_with_a_new_primary() {
    let (_lab, service) = goes_on_with_a_new_primary("after-sqlx").await;
    // So does its listener.
    an_order_is_heard_of(&service.client()).await;
}

#[tokio::test]
async fn after_deadpool_goes_on_with_a_new_primary() {
    goes_on_with_a_new_primary("after-deadpool").await;
}

#[tokio::test]
async fn after_sea_orm_goes_on_with_a_new_primary() {
    goes_on_with_a_new_primary("after-sea-orm").await;
}

#[tokio::test]
async fn after_diesel_goes_on_with_a_new_primary() {
    goes_on_with_a_new_primary("after-diesel").await;
}

#[tokio::test]
async fn lists_of_after_deadpool_come_from_a_replica() {
    let (lab, service) = start("after-deadpool").await;
    let client = service.client();
    assert_eq!(client.post("/items", &json!({ "name": "ruffe", "stock": 1 })).await.status, 201);
    until("it is listed", async || client.get("/items").await.json()[0]["name"] == json!("ruffe")).await;
    drop(service);
    let looks: usize = looks_of_replicas(&lab).await.iter().map(|(_, looks)| looks).sum();
    assert!(looks > 0, "lists are asked for from replicas");
}

//! Requests with sessions, over real servers: two instances of a service, and tokens that go to and fro.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderName, Request, Response, StatusCode, header};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::future::join_all;
use millpond::postgres::{Db, Session};
use millpond_lab::Lab;
use millpond_tower::{CurrentSession, SessionLayer, UnusableToken, with_token};
use tower::ServiceExt as _;

const TOKEN: &str = "millpond-token";

/// One instance of a service: it knows the plain handle only.
struct Instance {
    db: Db,
    app: Router,
    layer: SessionLayer<Db>,
}

async fn write(State(db): State<Db>) -> Result<String, StatusCode> {
    let insert = "insert into item values (default) returning id";
    let row = db.query_one(insert, &[]).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(row.get::<_, i64>(0).to_string())
}

async fn write_in_transaction(State(db): State<Db>) -> Result<String, StatusCode> {
    let work = async {
        let transaction = db.begin().await?;
        let insert = "insert into item values (default) returning id";
        let row = transaction.query_one(insert, &[]).await?;
        transaction.commit().await?;
        Ok::<_, millpond::Error>(row.get::<_, i64>(0).to_string())
    };
    work.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn write_in_task(State(db): State<Db>) -> String {
    let session = db.current_session().unwrap();
    let work = async move { write(State(db)).await.unwrap() };
    tokio::spawn(async move { session.scope(work).await }).await.unwrap()
}

async fn read(State(db): State<Db>) -> Result<String, StatusCode> {
    let row = db.query_one("select count(*) from item", &[]).await;
    row.map(|row| row.get::<_, i64>(0).to_string()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn read_any(State(db): State<Db>) -> String {
    db.any().query_one("select count(*) from item", &[]).await.unwrap().get::<_, i64>(0).to_string()
}

async fn token(Extension(CurrentSession(session)): Extension<CurrentSession<Session>>) -> String {
    session.token().to_string()
}

async fn long(State(db): State<Db>) -> Result<(), StatusCode> {
    let ended = db.latest().query("select pg_sleep(20)", &[]).await;
    ended.map(drop).map_err(|_| StatusCode::GATEWAY_TIMEOUT)
}

impl Instance {
    async fn of(lab: &Lab, with: impl FnOnce(SessionLayer<Db>) -> SessionLayer<Db>) -> Self {
        let builder = Db::builder(&lab.url("postgres")).unwrap().probe_interval(Duration::from_millis(50));
        let db = builder.max_size(4).connect().await.unwrap();
        let layer = with(SessionLayer::new(db.clone()));
        let app = Router::new()
            .route("/item", post(write).get(read))
            .route("/item/transaction", post(write_in_transaction))
            .route("/item/task", post(write_in_task))
            .route("/any", get(read_any))
            .route("/token", get(token))
            .route("/long", get(long))
            .layer(layer.clone())
            .with_state(db.clone());
        Self { db, app, layer }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Its status, its body, and the token that comes with it.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> (StatusCode, String, Option<String>) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        let response = self.send(request.body(Body::empty()).unwrap()).await;
        let token = response.headers().get(TOKEN).map(|token| token.to_str().unwrap().to_owned());
        let (status, body) = (response.status(), to_bytes(response.into_body(), 1 << 20).await.unwrap());
        (status, String::from_utf8(body.to_vec()).unwrap(), token)
    }
}

async fn two(with: impl Fn(SessionLayer<Db>) -> SessionLayer<Db>) -> (Lab, Instance, Instance) {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    lab.primary().ask("postgres", "create table item (id bigserial primary key)").await.unwrap();
    lab.caught_up().await.unwrap();
    let (a, b) = (Instance::of(&lab, &with).await, Instance::of(&lab, &with).await);
    for instance in [&a, &b] {
        until("a replica serves", async || {
            instance.db.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get::<_, bool>(0)
        })
        .await;
    }
    (lab, a, b)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

#[tokio::test]
async fn what_one_instance_wrote_the_other_shows_to_who_brings_the_token() {
    let (lab, a, b) = two(|layer| layer).await;
    lab.node("db-1").unwrap().delay_replay(Duration::from_millis(20)).await.unwrap();
    let mut stale = 0;
    for count in 1..=300 {
        let path = ["/item", "/item/transaction", "/item/task"][count % 3];
        let (status, _, token) = a.ask("POST", path, None).await;
        assert_eq!(status, StatusCode::OK);
        let (_, any, _) = b.ask("GET", "/any", None).await;
        stale += usize::from(any.parse::<usize>().unwrap() < count);
        let (_, shown, next) = b.ask("GET", "/item", token.as_deref()).await;
        assert_eq!(shown, count.to_string(), "{path}");
        // And so does the token of that answer.
        let (_, shown, _) = a.ask("GET", "/item", next.as_deref()).await;
        assert_eq!(shown, count.to_string(), "{path}");
    }
    assert!(stale > 0, "without tokens it would have been stale at times");
    let (counts, of_b) = (a.layer.counts(), b.layer.counts());
    assert_eq!((counts.missing, counts.taken, of_b.taken, of_b.unusable), (300, 300, 300, 0));
}

#[tokio::test]
async fn the_layer_takes_nothing_from_who_brings_no_token() {
    let (lab, here, there) = two(|layer| layer).await;
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for count in 1..=10 {
        let (_, written, _) = here.ask("POST", "/item", None).await;
        assert_eq!(written, count.to_string());
        let (_, read, _) = here.ask("GET", "/item", None).await;
        assert_eq!(read, count.to_string(), "what this process has written");
    }
    let (_, read, _) = there.ask("GET", "/item", None).await;
    assert_eq!(read, "0", "another process has not heard of it");
}

#[tokio::test]
async fn sessions_of_requests_at_the_same_time_are_apart() {
    let (_lab, a, _) = two(|layer| layer).await;
    let (_, nothing, _) = a.ask("GET", "/token", None).await;
    let writes = (0..8).map(|_| a.ask("POST", "/item", None));
    let reads = (0..8).map(|_| a.ask("GET", "/token", None));
    let (writes, reads) = tokio::join!(join_all(writes), join_all(reads));
    assert!(writes.iter().all(|(_, _, token)| token.as_deref() != Some(&nothing)));
    assert!(reads.iter().all(|(_, body, token)| *body == nothing && token.as_deref() == Some(&nothing)));
}

#[tokio::test]
async fn a_token_that_is_no_use_shows_the_latest_or_is_refused_and_is_counted() {
    let (lab, a, strict) = two(|layer| layer).await;
    let strict = {
        drop(strict);
        Instance::of(&lab, |layer| layer.unusable_token(UnusableToken::Refuse)).await
    };
    let (_, _, token) = a.ask("POST", "/item", None).await;
    let token = token.unwrap();
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    a.ask("POST", "/item", None).await;
    let later = token.replacen(".1.", ".9.", 1);
    let foreign = token.replacen(&token[4..8], "ffff", 1);
    let forged = [token[..token.len() / 2].to_owned(), "mp1".to_owned(), "x".repeat(9000), later, foreign];
    for (count, forged) in (1..).zip(&forged) {
        let (status, shown, _) = a.ask("GET", "/item", Some(forged)).await;
        assert_eq!((status, shown.as_str()), (StatusCode::OK, "2"), "{forged}");
        assert_eq!(a.layer.counts().unusable, count);
        let (status, _, _) = strict.ask("GET", "/item", Some(forged)).await;
        assert_eq!((status, strict.layer.counts().unusable), (StatusCode::BAD_REQUEST, count), "{forged}");
    }
    let bytes =
        Request::builder().uri("/item").header(TOKEN, [0xff_u8].as_slice()).body(Body::empty()).unwrap();
    assert_eq!(a.send(bytes).await.status(), StatusCode::OK);
    assert_eq!(a.layer.counts().unusable, 6);
}

#[tokio::test]
async fn a_request_that_says_how_long_its_client_waits_ends_then() {
    let (_lab, a, _) = two(|layer| layer.deadline_header(HeaderName::from_static("x-wait-ms"))).await;
    let begun = Instant::now();
    let request = Request::builder().uri("/long").header("x-wait-ms", "200").body(Body::empty()).unwrap();
    assert_eq!(a.send(request).await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_that_is_one_too_many_is_answered_by_503_and_when_to_come_again() {
    let (_lab, a, _) = two(|layer| layer.retry_after(Duration::from_secs(7))).await;
    a.db.nodes().change_limits(|limits| (limits.max_size, limits.max_waiting) = (1, Some(0))).unwrap();
    let held = a.db.begin().await.unwrap();
    let request = Request::builder().method("POST").uri("/item").body(Body::empty()).unwrap();
    let response = a.send(request).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    assert_eq!(a.layer.counts().turned_away, 1);
    drop(held);
}

#[tokio::test]
async fn a_job_shows_what_its_payload_asks_for_and_hands_on_what_it_wrote() {
    let (lab, a, b) = two(|layer| layer).await;
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let (_, _, token) = a.ask("POST", "/item", None).await;
    let (shown, token) = with_token(&b.db, token.as_deref(), async {
        write(State(b.db.clone())).await.unwrap();
        read(State(b.db.clone())).await.unwrap()
    })
    .await;
    assert_eq!(shown, "2");
    let (_, shown, _) = a.ask("GET", "/item", token.as_deref()).await;
    assert_eq!(shown, "2");
}

#[cfg(feature = "cookie")]
#[tokio::test]
async fn a_cookie_that_somebody_else_signed_is_none() {
    use millpond_tower::Key;

    let key = Key::generate();
    let (lab, a, b) = two(|layer| layer.signed_cookie("read-after", key.clone()).insecure_cookie()).await;
    let stranger = Instance::of(&lab, |layer| layer.signed_cookie("read-after", Key::generate())).await;
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let request = |method: &str, cookie: Option<&str>| {
        let mut request = Request::builder().method(method).uri("/item");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, format!("a=b; {cookie}; c=d"));
        }
        request.body(Body::empty()).unwrap()
    };
    let response = a.send(request("POST", None)).await;
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap();
    for (instance, counts) in [(&b, (1, 0)), (&stranger, (0, 1))] {
        let response = instance.send(request("GET", Some(cookie))).await;
        let body = to_bytes(response.into_body(), 99).await.unwrap();
        let counted = instance.layer.counts();
        assert_eq!((&body[..], (counted.taken, counted.unusable)), (&b"1"[..], counts));
    }
    // Refused, it is taken away: the client would be refused for ever.
    let refusing = |layer: SessionLayer<Db>| {
        layer.signed_cookie("read-after", Key::generate()).unusable_token(UnusableToken::Refuse)
    };
    let strict = Instance::of(&lab, refusing).await;
    let response = strict.send(request("GET", Some(cookie))).await;
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(set.starts_with("read-after=;") && set.contains("Path=/") && set.contains("Max-Age=0"), "{set}");
}

#[cfg(feature = "axum")]
mod with_axum {
    use super::*;
    use millpond_tower::Unavailable;

    async fn extracted(CurrentSession(session): CurrentSession<Session>) -> String {
        session.token().to_string()
    }

    async fn failing(State((db, text)): State<(Db, &'static str)>) -> Result<(), Unavailable> {
        Ok(db.timeout(Duration::from_millis(300)).latest().batch_execute(text).await?)
    }

    #[tokio::test]
    async fn the_session_is_extracted_where_the_layer_is() {
        let (_lab, a, _) = two(|layer| layer).await;
        let bare = Router::new().route("/", get(extracted));
        let ask = async |app: Router| app.oneshot(Request::new(Body::empty())).await.unwrap();
        let response = ask(bare.clone().layer(a.layer.clone())).await;
        let token = response.headers()[TOKEN].clone();
        assert_eq!(to_bytes(response.into_body(), 99).await.unwrap(), token.as_bytes());
        assert_eq!(ask(bare).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn an_error_is_an_answer_that_says_whether_to_come_again() {
        let (_lab, a, _) = two(|layer| layer).await;
        let ask = async |text| {
            let app = Router::new().route("/", get(failing)).with_state((a.db.clone(), text));
            let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
            let again = response.headers().get(header::RETRY_AFTER).is_some();
            let status = response.status().as_u16();
            (status, again, to_bytes(response.into_body(), 99).await.unwrap().is_empty())
        };
        assert_eq!(ask("select pg_sleep(20)").await, (504, false, true));
        assert_eq!(ask("select 1 / 0").await, (500, false, true));
        a.db.nodes().change_limits(|limits| (limits.max_size, limits.max_waiting) = (1, Some(0))).unwrap();
        let _held = a.db.begin().await.unwrap();
        assert_eq!(ask("select 1").await, (503, true, true));
    }
}

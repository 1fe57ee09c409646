//! The routes and what serves them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use millpond_sqlx::PgPool;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgListener, PgPoolCopyExt as _};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};

use crate::error::AppError;
use crate::store::{self, Item, Note, Order};

const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, FromRef)]
struct App {
    pool: PgPool,
    new_orders: broadcast::Sender<i64>,
}

pub(crate) async fn router(pool: PgPool) -> Result<Router, sqlx::Error> {
    let new_orders = listen(&pool).await?;
    Ok(Router::new()
        .route("/health", get(StatusCode::OK))
        .route("/items", get(items).post(add_item))
        .route("/items/import", post(import_items))
        .route("/items/export", get(export_items))
        .route("/items/{id}", get(item))
        .route("/items/{id}/orders", post(place_order))
        .route("/orders/next", get(next_order))
        .route("/orders/{id}", get(order))
        .route("/notes", get(notes).post(add_note))
        .layer(millpond_tower::SessionLayer::new(pool.clone()))
        .with_state(App { pool, new_orders }))
}

#[derive(Serialize)]
struct Created {
    id: i64,
}

type Answer<T> = Result<Json<T>, AppError>;

const fn created(id: i64) -> (StatusCode, Json<Created>) {
    (StatusCode::CREATED, Json(Created { id }))
}

#[derive(Deserialize)]
struct NewItem {
    name: String,
    stock: i32,
}

async fn add_item(
    State(pool): State<PgPool>,
    Json(new): Json<NewItem>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::add_item(&pool, &new.name, new.stock).await?))
}

async fn item(State(pool): State<PgPool>, Path(id): Path<i64>) -> Answer<Item> {
    Ok(Json(store::item(&pool, id).await?))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "Page::full")]
    limit: u16,
}

impl Page {
    const fn full() -> u16 {
        100
    }
}

async fn items(State(pool): State<PgPool>, Query(page): Query<Page>) -> Answer<Vec<Item>> {
    Ok(Json(store::items(&pool, page.limit.into()).await?))
}

#[derive(Serialize)]
struct Imported {
    imported: u64,
}

async fn import_items(State(pool): State<PgPool>, body: Body) -> Answer<Imported> {
    let imported = store::import_items(&pool, body.into_data_stream()).await?;
    Ok(Json(Imported { imported }))
}

async fn export_items(State(pool): State<PgPool>) -> Result<impl IntoResponse, AppError> {
    let copy = "copy (select name, stock from items order by id) to stdout with (format csv)";
    let rows = pool.writer_pool().copy_out_raw(copy).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv")], Body::from_stream(rows)))
}

#[derive(Deserialize)]
struct NewOrder {
    count: i32,
}

async fn place_order(
    State(pool): State<PgPool>,
    Path(item): Path<i64>,
    Json(new): Json<NewOrder>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::place_order(&pool, item, new.count).await?))
}

async fn order(State(pool): State<PgPool>, Path(id): Path<i64>) -> Answer<Order> {
    Ok(Json(store::order(&pool, id).await?))
}

/// Waits for the next order that anybody places.
async fn next_order(State(new_orders): State<broadcast::Sender<i64>>) -> Response {
    // One that falls behind has missed some, and the next that is there is still the next.
    match timeout(LONGEST_WAIT, new_orders.subscribe().recv()).await {
        Ok(Ok(id)) => Json(Created { id }).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// One connection listens for all clients that wait.
async fn listen(pool: &PgPool) -> Result<broadcast::Sender<i64>, sqlx::Error> {
    let mut listener = PgListener::connect_with(&pool.writer_pool()).await?;
    listener.listen("new_order").await?;
    let (sender, _) = broadcast::channel(64);
    let new_orders = sender.clone();
    tokio::spawn(async move {
        loop {
            match listener.recv().await.map(|news| news.payload().parse()) {
                // Nobody may be waiting.
                Ok(Ok(id)) => drop(sender.send(id)),
                Ok(Err(error)) => tracing::error!(%error, "a notification is no number"),
                Err(error) => {
                    tracing::warn!(%error, "the listener has no connection");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(new_orders)
}

fn tenant(headers: &HeaderMap) -> Result<&str, AppError> {
    let tenant = headers.get("x-tenant").and_then(|value| value.to_str().ok());
    tenant.ok_or_else(|| AppError::BadRequest("the header x-tenant is missing".to_owned()))
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

async fn add_note(
    State(pool): State<PgPool>,
    headers: HeaderMap,
    Json(new): Json<NewNote>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::add_note(&pool, tenant(&headers)?, &new.text).await?))
}

async fn notes(State(pool): State<PgPool>, headers: HeaderMap) -> Answer<Vec<Note>> {
    Ok(Json(store::notes(&pool, tenant(&headers)?).await?))
}

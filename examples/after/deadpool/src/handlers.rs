//! The routes and what serves them.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::store::{self, Item, Order};

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: Pool,
    pub(crate) replicas: Pool,
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(StatusCode::OK))
        .route("/items", get(items).post(add_item))
        .route("/items/{id}", get(item))
        .route("/items/{id}/orders", post(place_order))
        .route("/orders/{id}", get(order))
        .with_state(app)
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

async fn add_item(State(app): State<App>, Json(new): Json<NewItem>) -> Result<impl IntoResponse, AppError> {
    let client = app.pool.get().await?;
    Ok(created(store::add_item(&client, &new.name, new.stock).await?))
}

async fn item(State(app): State<App>, Path(id): Path<i64>) -> Answer<Item> {
    let client = app.pool.get().await?;
    Ok(Json(store::item(&client, id).await?))
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

async fn items(State(app): State<App>, Query(page): Query<Page>) -> Answer<Vec<Item>> {
    let client = app.replicas.get().await?;
    Ok(Json(store::items(&client, page.limit.into()).await?))
}

#[derive(Deserialize)]
struct NewOrder {
    count: i32,
}

async fn place_order(
    State(app): State<App>,
    Path(item): Path<i64>,
    Json(new): Json<NewOrder>,
) -> Result<impl IntoResponse, AppError> {
    let mut client = app.pool.get().await?;
    Ok(created(store::place_order(&mut client, item, new.count).await?))
}

async fn order(State(app): State<App>, Path(id): Path<i64>) -> Answer<Order> {
    let client = app.pool.get().await?;
    Ok(Json(store::order(&client, id).await?))
}

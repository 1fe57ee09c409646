//! The routes and what serves them.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::store::{self, Item, NewItem, Order, Pool};

pub(crate) fn router(pool: Pool) -> Router {
    Router::new()
        .route("/health", get(StatusCode::OK))
        .route("/items", get(items).post(add_item))
        .route("/items/{id}", get(item))
        .route("/items/{id}/orders", post(place_order))
        .route("/orders/{id}", get(order))
        .with_state(pool)
}

#[derive(Serialize)]
struct Created {
    id: i64,
}

type Answer<T> = Result<Json<T>, AppError>;

const fn created(id: i64) -> (StatusCode, Json<Created>) {
    (StatusCode::CREATED, Json(Created { id }))
}

async fn add_item(State(pool): State<Pool>, Json(new): Json<NewItem>) -> Result<impl IntoResponse, AppError> {
    let mut conn = pool.get().await?;
    Ok(created(store::add_item(&mut conn, &new).await?))
}

async fn item(State(pool): State<Pool>, Path(id): Path<i64>) -> Answer<Item> {
    let mut conn = pool.get().await?;
    Ok(Json(store::item(&mut conn, id).await?))
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

async fn items(State(pool): State<Pool>, Query(page): Query<Page>) -> Answer<Vec<Item>> {
    let mut conn = pool.get().await?;
    Ok(Json(store::items(&mut conn, page.limit.into()).await?))
}

#[derive(Deserialize)]
struct NewOrder {
    count: i32,
}

async fn place_order(
    State(pool): State<Pool>,
    Path(item): Path<i64>,
    Json(new): Json<NewOrder>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::place_order(&pool, item, new.count).await?))
}

async fn order(State(pool): State<Pool>, Path(id): Path<i64>) -> Answer<Order> {
    let mut conn = pool.get().await?;
    Ok(Json(store::order(&mut conn, id).await?))
}

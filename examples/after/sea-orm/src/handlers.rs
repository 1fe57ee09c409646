//! The routes and what serves them.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use millpond_sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};

use crate::entities::{item, order};
use crate::error::AppError;
use crate::store;

pub(crate) fn router(db: DatabaseConnection) -> Router {
    Router::new()
        .route("/health", get(StatusCode::OK))
        .route("/items", get(items).post(add_item))
        .route("/items/{id}", get(item))
        .route("/items/{id}/orders", post(place_order))
        .route("/orders/{id}", get(order))
        .layer(millpond_tower::SessionLayer::new(db.clone()))
        .with_state(db)
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
    State(db): State<DatabaseConnection>,
    Json(new): Json<NewItem>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::add_item(&db, new.name, new.stock).await?))
}

async fn item(State(db): State<DatabaseConnection>, Path(id): Path<i64>) -> Answer<item::Model> {
    Ok(Json(store::item(&db, id).await?))
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

async fn items(State(db): State<DatabaseConnection>, Query(page): Query<Page>) -> Answer<Vec<item::Model>> {
    Ok(Json(store::items(&db, page.limit.into()).await?))
}

#[derive(Deserialize)]
struct NewOrder {
    count: i32,
}

async fn place_order(
    State(db): State<DatabaseConnection>,
    Path(item): Path<i64>,
    Json(new): Json<NewOrder>,
) -> Result<impl IntoResponse, AppError> {
    Ok(created(store::place_order(&db, item, new.count).await?))
}

async fn order(State(db): State<DatabaseConnection>, Path(id): Path<i64>) -> Answer<order::Model> {
    Ok(Json(store::order(&db, id).await?))
}

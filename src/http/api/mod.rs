//! The admin API, `/api/v1`: mirrors, jobs, deliveries and the audit log, for whoever has the token.
//!
//! Every handler takes an [`Admin`](super::auth::Admin), which closes it to everybody else, and a
//! [`Query`](query::Query), which refuses parameters that nobody knows. What changes something is
//! written to the audit log in the same transaction.

mod add;
mod audit;
mod change;
mod deliveries;
mod forget;
mod history;
mod input;
mod jobs;
mod mirrors;
mod query;
mod refs;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use crate::store::Page;

/// Below `/api/v1`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/mirrors")
                .route(web::get().to(mirrors::list))
                .route(web::head().to(mirrors::list))
                .route(web::post().to(add::add)),
        )
        .service(
            web::resource("/mirrors/{id}")
                .route(web::get().to(mirrors::one))
                .route(web::head().to(mirrors::one))
                .route(web::patch().to(change::change))
                .route(web::delete().to(forget::forget)),
        )
        .service(web::resource("/mirrors/{id}/sync").route(web::post().to(change::sync)))
        .service(web::resource("/mirrors/{id}/verify").route(web::post().to(change::verify)))
        .service(
            web::resource("/mirrors/{id}/syncs")
                .route(web::get().to(history::syncs))
                .route(web::head().to(history::syncs)),
        )
        .service(
            web::resource("/mirrors/{id}/kept")
                .route(web::get().to(history::kept))
                .route(web::head().to(history::kept)),
        )
        .service(web::resource("/mirrors/{id}/refs").route(web::get().to(refs::refs)).route(web::head().to(refs::refs)))
        .service(web::resource("/jobs").route(web::get().to(jobs::list)).route(web::head().to(jobs::list)))
        .service(web::resource("/jobs/{id}").route(web::get().to(jobs::one)).route(web::head().to(jobs::one)))
        .service(web::resource("/jobs/{id}/retry").route(web::post().to(jobs::retry)))
        .service(web::resource("/jobs/{id}/cancel").route(web::post().to(jobs::cancel)))
        .service(
            web::resource("/deliveries").route(web::get().to(deliveries::list)).route(web::head().to(deliveries::list)),
        )
        .service(
            web::resource("/deliveries/{id}")
                .route(web::get().to(deliveries::one))
                .route(web::head().to(deliveries::one)),
        )
        .service(web::resource("/audit").route(web::get().to(audit::list)).route(web::head().to(audit::list)));
}

/// One page of a list.
fn page<T, V: Serialize>(page: Page<T>, shown: impl FnMut(T) -> V) -> HttpResponse {
    let items: Vec<V> = page.items.into_iter().map(shown).collect();
    HttpResponse::Ok().json(json!({ "items": items, "next_cursor": page.next }))
}

/// Why something failed, as the API shows it.
#[derive(Serialize)]
struct ErrorView {
    code: String,
    message: String,
}

impl From<(String, String)> for ErrorView {
    fn from((code, message): (String, String)) -> Self {
        Self { code, message }
    }
}

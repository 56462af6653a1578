//! The admin API, `/api/v1`: mirrors, jobs, deliveries, keys and the audit log, for whoever has the admin token or a
//! key with the scope of the call ([`scopes`](super::scopes) says which).
//!
//! Every handler takes an [`Admin`](super::auth::Admin), which closes it to everybody else, and a
//! [`Query`](query::Query), which refuses parameters that nobody knows. What changes something is
//! written to the audit log in the same transaction.

mod add;
mod audit;
mod batches;
mod catalog;
mod change;
mod deliveries;
mod described;
mod etag;
mod events;
mod forget;
mod history;
pub(super) mod input;
mod jobs;
mod kept;
mod keys;
mod mirrors;
mod once;
mod overview;
mod query;
mod refs;
mod replay;
mod stars;
mod vanished;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::server::reading;
use crate::store::Page;

pub(super) use described::described;
pub(super) use once::once;

/// Below `/api/v1`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(reading("/mirrors", mirrors::list).route(web::post().to(add::add)))
        .service(
            reading("/mirrors/{id}", mirrors::one)
                .route(web::patch().to(change::change))
                .route(web::delete().to(forget::forget)),
        )
        .service(web::resource("/mirrors/{id}/sync").route(web::post().to(change::sync)))
        .service(web::resource("/mirrors/{id}/verify").route(web::post().to(change::verify)))
        .service(
            reading("/mirrors/{id}/catalog", catalog::show)
                .route(web::post().to(change::catalog))
                .route(web::delete().to(catalog::forget)),
        )
        .service(reading("/mirrors/{id}/syncs", history::syncs))
        .service(reading("/mirrors/{id}/kept", history::kept))
        .service(reading("/mirrors/{id}/lfs", history::lfs))
        .service(web::resource("/mirrors/{id}/kept/{kept}/branch").route(web::post().to(kept::branch)))
        .service(reading("/mirrors/{id}/refs", refs::refs))
        .service(reading("/mirrors/{id}/lists", mirrors::lists))
        .service(reading("/mirrors/{id}/wiki", mirrors::wiki))
        .service(web::resource("/batches").route(web::post().to(batches::ask)))
        .service(reading("/batches/{id}", batches::one))
        .service(reading("/stars", stars::list))
        .service(web::resource("/stars/{login}").route(web::post().to(stars::look)))
        .service(reading("/vanished", vanished::list).route(web::post().to(vanished::answer)))
        .service(reading("/jobs", jobs::list))
        .service(reading("/jobs/{id}", jobs::one))
        .service(web::resource("/jobs/{id}/retry").route(web::post().to(jobs::retry)))
        .service(web::resource("/jobs/{id}/cancel").route(web::post().to(jobs::cancel)))
        .service(reading("/deliveries", deliveries::list))
        .service(web::resource("/deliveries/replay").route(web::post().to(replay::several)))
        .service(reading("/deliveries/{id}", deliveries::one))
        .service(web::resource("/deliveries/{id}/replay").route(web::post().to(replay::one)))
        .service(reading("/overview", overview::show))
        .service(reading("/events", events::follow))
        .service(reading("/audit", audit::list))
        .service(reading("/api-keys", keys::list).route(web::post().to(keys::create)))
        .service(reading("/api-keys/{id}", keys::one).route(web::delete().to(keys::revoke)))
        .service(web::resource("/api-keys/{id}/rotate").route(web::post().to(keys::rotate)));
}

/// One page of a list.
fn page<T, V: Serialize>(page: Page<T>, shown: impl FnMut(T) -> V) -> HttpResponse {
    HttpResponse::Ok().json(List { items: page.items.into_iter().map(shown).collect(), next_cursor: page.next })
}

/// A list that is never longer than a page.
fn whole<V: Serialize>(items: impl IntoIterator<Item = V>) -> HttpResponse {
    HttpResponse::Ok().json(List { items: items.into_iter().collect(), next_cursor: None })
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
struct List<T> {
    items: Vec<T>,
    /// The `cursor` of the page after it; null if there is none.
    next_cursor: Option<String>,
}

/// What every list takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query::list` reads")]
struct Paging {
    /// Rows at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// What the page before gave as `next_cursor`.
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// A job that was queued.
#[derive(Serialize, ToSchema)]
struct Queued {
    /// Its id.
    job: i64,
}

/// Why something failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Reason)]
struct ErrorView {
    code: String,
    message: String,
}

impl From<(String, String)> for ErrorView {
    fn from((code, message): (String, String)) -> Self {
        Self { code, message }
    }
}

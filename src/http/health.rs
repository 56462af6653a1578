//! `/healthz`: the process is alive. `/readyz`: it can take webhooks.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ComponentState;
use super::problem::Problem;
use super::shared::Shared;

/// `GET /healthz`: the process is alive.
#[utoipa::path(get, path = "/healthz", operation_id = "isAlive", tag = "health", responses((status = 200, body = AliveView)))]
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(AliveView { status: Word::Ok })
}

/// `GET /readyz`: 503 only while the database cannot take a delivery: while GitHub or OneDev is down webhooks are
/// still taken, and their jobs wait.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "health",
    responses((status = 200, body = ReadyView), (status = 503, body = NotReady, content_type = "application/problem+json")))]
pub(super) async fn ready(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    let (database, others) = futures_util::join!(shared.probes.database(), shared.probes.components());
    let down = database != ComponentState::Ok;
    let degraded = others.iter().any(|(_, state)| *state != ComponentState::Ok);
    let mut components = BTreeMap::new();
    components.insert("database".to_owned(), shown(&database, Word::Unavailable));
    for (name, state) in others {
        components.insert(name.to_owned(), shown(&state, Word::Degraded));
    }
    if down {
        let detail = "the database cannot take a delivery; GitHub will have to deliver again";
        let problem = Problem::unavailable("not_ready", detail, std::time::Duration::from_secs(5));
        return Err(problem.with("components", json!(components)));
    }
    let status = if degraded { Word::Degraded } else { Word::Ok };
    Ok(HttpResponse::Ok().json(ReadyView { status, components }))
}

/// The process is alive.
#[derive(Serialize, ToSchema)]
#[schema(as = Alive)]
struct AliveView {
    status: Word,
}

/// It can take webhooks.
#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
struct ReadyView {
    status: Word,
    /// By name: the database, GitHub, OneDev.
    components: BTreeMap<String, ComponentView>,
}

/// It cannot take webhooks at present.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a problem document with a further member")]
struct NotReady {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    correlation_id: Uuid,
    components: BTreeMap<String, ComponentView>,
}

/// How something is.
#[derive(Serialize, ToSchema)]
#[schema(as = Component)]
struct ComponentView {
    status: Word,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    detail: Option<String>,
}

/// A word for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Health)]
enum Word {
    /// All is well.
    Ok,
    /// Something is down that is not needed to take webhooks.
    Degraded,
    /// It is down.
    Unavailable,
}

fn shown(state: &ComponentState, down: Word) -> ComponentView {
    match state {
        ComponentState::Ok => ComponentView { status: Word::Ok, detail: None },
        ComponentState::Degraded(detail) => ComponentView { status: down, detail: Some(detail.clone()) },
    }
}

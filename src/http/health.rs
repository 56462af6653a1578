//! `/healthz`: the process is alive. `/readyz`: it can take webhooks.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::ComponentState;
use super::problem::Problem;
use super::shared::Shared;

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// 503 only while the database cannot take a delivery: while GitHub or OneDev is down webhooks are
/// still taken, and their jobs wait.
pub(super) async fn ready(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    let (database, others) = futures_util::join!(shared.probes.database(), shared.probes.components());
    let down = database != ComponentState::Ok;
    let degraded = others.iter().any(|(_, state)| *state != ComponentState::Ok);
    let mut components = Map::new();
    components.insert("database".to_owned(), shown(&database, "unavailable"));
    for (name, state) in others {
        components.insert(name.to_owned(), shown(&state, "degraded"));
    }
    let components = Value::Object(components);
    if down {
        let detail = "the database cannot take a delivery; GitHub will have to deliver again";
        let problem = Problem::unavailable("not_ready", detail, std::time::Duration::from_secs(5));
        return Err(problem.with("components", components));
    }
    let status = if degraded { "degraded" } else { "ok" };
    Ok(HttpResponse::Ok().json(json!({ "status": status, "components": components })))
}

fn shown(state: &ComponentState, down: &str) -> Value {
    match state {
        ComponentState::Ok => json!({ "status": "ok" }),
        ComponentState::Degraded(detail) => json!({ "status": down, "detail": detail }),
    }
}

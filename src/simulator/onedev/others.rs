//! The rest of OneDev's REST that a mirroring client touches: version, users, tokens, roles,
//! authorizations, labels, settings.

use serde_json::{Map, Value, json};

use super::auth::{Access, Principal};
use super::data::{Reader, object};
use super::projects::project;
use super::reply::Reply;
use super::rest::{Call, unknown};
use super::state::{Grant, LabelSpec, Token};
use super::{Shared, settings};
use crate::simulator::record::lock;

/// The version that this plays.
pub(crate) const VERSION: &str = "16.5.6";

pub(crate) fn answer(shared: &Shared, call: &Call, first: &str, rest: &[&str]) -> Result<Reply, Reply> {
    match (call.method.as_str(), first, rest) {
        ("GET", "version", ["server"]) => Ok(Reply::bare(VERSION)),
        ("GET", "users", ["me"]) => admin(call).map(|()| Reply::json(&user())),
        ("GET", "users", ["ids", login]) => {
            admin(call)?;
            let known = login.eq_ignore_ascii_case("admin");
            known.then(|| Reply::json(&json!(1))).ok_or_else(|| Reply::text(404, "User not found"))
        }
        ("GET", "users", [id]) => {
            admin(call)?;
            (*id == "1").then(|| Reply::json(&user())).ok_or_else(|| Reply::no_row("User", id))
        }
        ("POST", "access-tokens", []) => create_token(shared, call),
        ("GET", "access-tokens", [id]) => show_token(shared, call, id),
        ("POST", "access-token-authorizations", []) => authorize_token(shared, call),
        ("GET", "roles", []) => {
            let (offset, count) = call.page(&["name"])?;
            admin(call)?;
            let roles = settings::roles();
            let page = roles.as_array().into_iter().flatten().skip(offset).take(count).cloned();
            Ok(Reply::json(&page.collect()))
        }
        ("POST", "base-authorizations" | "user-authorizations", []) => grant(shared, call, first),
        ("DELETE", "base-authorizations" | "user-authorizations", [id]) => revoke(shared, call, first, id),
        ("GET" | "POST", "label-specs", []) => label_specs(shared, call),
        ("POST", "project-labels", []) => add_label(shared, call),
        ("DELETE", "project-labels", [id]) => remove_label(shared, call, id),
        ("GET", "settings", ["security"]) => admin(call).map(|()| Reply::json(&lock(&shared.state).security)),
        ("GET", "settings", ["system"]) => admin(call).map(|()| Reply::json(&settings::system(&call.base))),
        ("POST", "settings", ["security"]) => {
            admin(call)?;
            lock(&shared.state).security = Value::Object(object(&call.body)?);
            Ok(Reply::done())
        }
        _ => Err(unknown()),
    }
}

fn admin(call: &Call) -> Result<(), Reply> {
    if call.principal == Principal::Admin { Ok(()) } else { Err(call.refused()) }
}

fn user() -> Value {
    json!({
        "id": 1,
        "disabled": false,
        "type": "ORDINARY",
        "name": "admin",
        "fullName": null,
        "notifyOwnEvents": false,
        "aiSetting": null,
    })
}

fn required(fields: &Map<String, Value>, name: &str) -> Result<i64, Reply> {
    Reader(fields).number(name)?.ok_or_else(|| Reply::bean(&format!("arg0.{name}: must not be null")))
}

fn create_token(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    admin(call)?;
    let fields = object(&call.body)?;
    let reader = Reader(&fields);
    let name = reader.text("name")?.ok_or_else(|| Reply::bean("create.arg0.name: must not be empty"))?;
    if required(&fields, "ownerId")? != 1 {
        return Err(Reply::no_row("User", &required(&fields, "ownerId")?.to_string()));
    }
    let owner_permissions = reader.flag("hasOwnerPermissions", false)?;
    let mut state = lock(&shared.state);
    if state.tokens.rows.values().any(|it| it.name == name) {
        return Err(Reply::server_error(&format!(
            "Name '{name}' is already used by another access token of the owner"
        )));
    }
    let value = format!("simulated{:031}", state.tokens.rows.len() + 1);
    Ok(Reply::json(&json!(state.tokens.add(Token { name, value, owner_permissions }))))
}

fn show_token(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    admin(call)?;
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let state = lock(&shared.state);
    // A missing row is a 400 here, unlike elsewhere.
    let missing = || Reply::text(400, &format!("Unable to find access token with id {id}"));
    let token = state.tokens.rows.get(&number).ok_or_else(missing)?;
    Ok(Reply::json(&json!({
        "id": number,
        "ownerId": 1,
        "name": token.name,
        "value": token.value,
        "hasOwnerPermissions": token.owner_permissions,
        "createDate": "2026-01-01T00:00:00.000+00:00",
        "expireDate": null,
    })))
}

fn authorize_token(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    admin(call)?;
    let fields = object(&call.body)?;
    let (holder, role) = (required(&fields, "tokenId")?, required(&fields, "roleId")?);
    let mut state = lock(&shared.state);
    let id = required(&fields, "projectId")?;
    let project = project(&state, call, &id.to_string(), Access::Manage)?.id;
    Ok(Reply::json(&json!(state.token_grants.add(Grant { project, role, holder }))))
}

fn grant(shared: &Shared, call: &Call, kind: &str) -> Result<Reply, Reply> {
    let fields = object(&call.body)?;
    let role = required(&fields, "roleId")?;
    let mut state = lock(&shared.state);
    let id = required(&fields, "projectId")?;
    let project = project(&state, call, &id.to_string(), Access::Manage)?.id;
    let known = settings::roles().as_array().is_some_and(|it| it.iter().any(|it| it.get("id") == Some(&json!(role))));
    if !known {
        return Err(Reply::no_row("Role", &role.to_string()));
    }
    let (holder, table) = if kind == "base-authorizations" {
        (0, &mut state.base_grants)
    } else {
        (required(&fields, "userId")?, &mut state.user_grants)
    };
    let grant = Grant { project, role, holder };
    if table.rows.values().any(|it| *it == grant) {
        return Err(Reply::server_error("could not execute statement"));
    }
    Ok(Reply::json(&json!(table.add(grant))))
}

fn revoke(shared: &Shared, call: &Call, kind: &str, id: &str) -> Result<Reply, Reply> {
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let mut state = lock(&shared.state);
    let is_base = kind == "base-authorizations";
    let class = if is_base { "BaseAuthorization" } else { "UserAuthorization" };
    let rows = if is_base { &state.base_grants.rows } else { &state.user_grants.rows };
    let grant = rows.get(&number).copied().ok_or_else(|| Reply::no_row(class, id))?;
    project(&state, call, &grant.project.to_string(), Access::Manage)?;
    let table = if is_base { &mut state.base_grants } else { &mut state.user_grants };
    table.rows.remove(&number);
    Ok(Reply::done())
}

fn label_specs(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    if call.method == "GET" {
        let (offset, count) = call.page(&["name"])?;
        if call.principal != Principal::Admin {
            // A scoped token is no user, and this one asks for a user first.
            return Err(Reply::text(401, "Not authenticated"));
        }
        let state = lock(&shared.state);
        let specs = state.label_specs.rows.iter().skip(offset).take(count);
        return Ok(Reply::json(
            &specs.map(|(id, it)| json!({ "id": id, "name": it.name, "color": it.color })).collect(),
        ));
    }
    admin(call)?;
    let fields = object(&call.body)?;
    let reader = Reader(&fields);
    let name = reader.text("name")?.ok_or_else(|| Reply::bean("create.arg0.name: must not be empty"))?;
    let color = reader.text("color")?.unwrap_or_else(|| "#0d87e9".to_owned());
    let mut state = lock(&shared.state);
    if state.label_specs.rows.values().any(|it| it.name == name) {
        return Err(Reply::server_error("could not execute statement"));
    }
    Ok(Reply::json(&json!(state.label_specs.add(LabelSpec { name, color }))))
}

fn add_label(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let fields = object(&call.body)?;
    let (id, spec) = (required(&fields, "projectId")?, required(&fields, "specId")?);
    let mut state = lock(&shared.state);
    let project = project(&state, call, &id.to_string(), Access::Manage)?.id;
    if !state.label_specs.rows.contains_key(&spec) {
        return Err(Reply::no_row("LabelSpec", &spec.to_string()));
    }
    if state.labels.rows.values().any(|it| *it == (project, spec)) {
        return Err(Reply::server_error("could not execute statement"));
    }
    Ok(Reply::json(&json!(state.labels.add((project, spec)))))
}

fn remove_label(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let mut state = lock(&shared.state);
    let (labelled, _) = *state.labels.rows.get(&number).ok_or_else(|| Reply::no_row("ProjectLabel", id))?;
    project(&state, call, &labelled.to_string(), Access::Manage)?;
    state.labels.rows.remove(&number);
    Ok(Reply::done())
}

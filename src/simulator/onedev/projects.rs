//! `/~api/projects`: look-up by path, list, one project, create, full replacement, delete, setting.

use serde_json::{Value, json};

use super::auth::{Access, Principal};
use super::data::{self, ProjectData, check_known, object};
use super::query::Query;
use super::reply::Reply;
use super::rest::{Call, decoded, unknown};
use super::state::{Collision, Grant, Project, State};
use super::{Shared, settings};
use crate::simulator::record::lock;
use crate::simulator::repository;

pub(crate) fn answer(shared: &Shared, call: &Call, rest: &[&str]) -> Result<Reply, Reply> {
    match (call.method.as_str(), rest) {
        ("GET", ["ids", ..]) => by_path(shared, call),
        ("GET", []) => list(shared, call),
        ("POST", []) => create(shared, call),
        ("GET", [id]) => {
            call.check_query(&[], &[])?;
            let state = lock(&shared.state);
            Ok(Reply::json(&data::show(&state, project(&state, call, id, Access::Read)?)))
        }
        ("POST", [id]) => update(shared, call, id),
        ("DELETE", [id]) => delete(shared, call, id),
        ("GET", [id, part]) => {
            call.check_query(&[], &[])?;
            part_of(shared, call, id, part)
        }
        ("POST", [id, "setting"]) => set_setting(shared, call, id),
        (_, [_, "setting"]) => Err(Reply::text(405, "HTTP 405 Method Not Allowed")),
        _ => Err(unknown()),
    }
}

/// The project of an id that the caller may do so much with.
pub(crate) fn project<'a>(state: &'a State, call: &Call, id: &str, wanted: Access) -> Result<&'a Project, Reply> {
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let project = state.projects.get(&number).ok_or_else(|| Reply::no_row("Project", id))?;
    if call.principal.access(state, number) >= wanted { Ok(project) } else { Err(call.refused()) }
}

fn by_path(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    call.check_query(&[], &[])?;
    let path = decoded(call.raw.strip_prefix("projects/ids/").unwrap_or_default());
    let state = lock(&shared.state);
    let found = state.at(&path).filter(|it| call.principal.access(&state, it.id) >= Access::Read);
    found.map(|it| Reply::json(&json!(it.id))).ok_or_else(|| Reply::no_project(&path))
}

fn list(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let (offset, count) = call.page(&["query"])?;
    let query = Query::parse(call.query.get("query").map_or("", String::as_str))?;
    let state = lock(&shared.state);
    let found = query.run(&state).into_iter().filter(|it| call.principal.access(&state, it.id) >= Access::Read);
    let shown: Vec<_> = found.skip(offset).take(count).map(|it| data::show(&state, it)).collect();
    Ok(Reply::json(&Value::Array(shown)))
}

/// Whether the caller may put a project below a parent.
fn check_parent(state: &State, call: &Call, parent: Option<i64>) -> Result<(), Reply> {
    match parent {
        None if call.principal == Principal::Admin => Ok(()),
        None => Err(Reply::text(403, "Not authorized to create root project")),
        Some(parent) => {
            if !state.projects.contains_key(&parent) {
                return Err(Reply::no_row("Project", &parent.to_string()));
            }
            if call.principal.access(state, parent) < Access::Manage {
                let path = state.path(parent);
                return Err(Reply::text(403, &format!("Not authorized to create project under '{path}'")));
            }
            Ok(())
        }
    }
}

fn check_name(state: &State, id: Option<i64>, data: &ProjectData) -> Result<(), Reply> {
    let name = &data.name;
    match (state.named(data.parent, name).filter(|it| Some(it.id) != id), data.parent) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Reply::server_error(&format!("Name '{name}' is already used by another root project"))),
        (Some(_), Some(parent)) => {
            let path = state.path(parent);
            Err(Reply::server_error(&format!("Name '{name}' is already used by another project under '{path}'")))
        }
    }
}

fn collided(collision: Collision) -> Reply {
    match collision {
        Collision::Index => Reply::server_error("could not execute statement"),
        Collision::Path => Reply::server_error(""),
    }
}

/// The name is looked up, the repository is made, and only then the row is written: whoever comes
/// second in between learns it from the database, as in the real one.
fn create(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let data = ProjectData::parse(&call.body, "createProject.arg0")?;
    let folder = {
        let mut state = lock(&shared.state);
        check_parent(&state, call, data.parent)?;
        check_name(&state, None, &data)?;
        state.fresh_folder()
    };
    repository::create(&folder).map_err(|error| Reply::server_error(&error.to_string()))?;
    let id = lock(&shared.state).add(data, &folder).map_err(collided)?;
    Ok(Reply::json(&json!(id)))
}

fn update(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let data = ProjectData::parse(&call.body, "updateProject.arg1")?;
    let mut state = lock(&shared.state);
    let (id, old_parent) = {
        let project = project(&state, call, id, Access::Manage)?;
        (project.id, project.data.parent)
    };
    if data.parent != old_parent {
        check_parent(&state, call, data.parent)?;
    }
    if data.parent.is_some_and(|parent| state.family(id).contains(&parent)) {
        return Err(Reply::server_error("Cannot use current or descendant project as parent"));
    }
    check_name(&state, Some(id), &data)?;
    state.update(id, data).map_err(collided)?;
    Ok(Reply::done())
}

fn delete(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let mut state = lock(&shared.state);
    let id = project(&state, call, id, Access::Manage)?.id;
    state.delete(id);
    Ok(Reply::done())
}

fn part_of(shared: &Shared, call: &Call, id: &str, part: &str) -> Result<Reply, Reply> {
    let state = lock(&shared.state);
    let wanted = if matches!(part, "clone-url" | "labels" | "forks") { Access::Read } else { Access::Manage };
    let project = project(&state, call, id, wanted)?;
    let grants = |rows: &std::collections::BTreeMap<i64, Grant>, show: fn(i64, Grant) -> Value| {
        let mine = rows.iter().filter(|(_, it)| it.project == project.id);
        Value::Array(mine.map(|(id, it)| show(*id, *it)).collect())
    };
    let body = match part {
        "setting" => project.setting.clone(),
        "clone-url" => {
            let path = state.path(project.id);
            json!({ "http": format!("{}/{path}.git", call.base), "ssh": null })
        }
        "base-authorizations" => {
            grants(&state.base_grants.rows, |id, it| json!({ "id": id, "projectId": it.project, "roleId": it.role }))
        }
        "user-authorizations" => grants(
            &state.user_grants.rows,
            |id, it| json!({ "id": id, "projectId": it.project, "userId": it.holder, "roleId": it.role }),
        ),
        "group-authorizations" => json!([]),
        "labels" => {
            let mine = state.labels.rows.iter().filter(|(_, (labelled, _))| *labelled == project.id);
            mine.map(|(id, (labelled, spec))| json!({ "id": id, "projectId": labelled, "specId": spec })).collect()
        }
        "forks" => {
            let forks = state.projects.values().filter(|it| it.data.forked_from == Some(project.id));
            forks.map(|it| data::show(&state, it)).collect()
        }
        _ => return Err(unknown()),
    };
    Ok(Reply::json(&body))
}

/// A full replacement. What `GET` gives cannot be posted back as it is: `boardSpecs` is null there,
/// and the server falls over it.
fn set_setting(shared: &Shared, call: &Call, id: &str) -> Result<Reply, Reply> {
    let fields = object(&call.body)?;
    let mut setting = settings::project();
    let known: Vec<&str> = setting.as_object().into_iter().flat_map(|it| it.keys()).map(String::as_str).collect();
    check_known(&fields, &known, "io.onedev.server.rest.resource.ProjectResource$ProjectSetting")?;
    let mut state = lock(&shared.state);
    let id = project(&state, call, id, Access::Manage)?.id;
    let boards = fields.get("issueSetting").and_then(|it| it.get("boardSpecs"));
    if !boards.is_some_and(Value::is_array) {
        return Err(Reply::server_error("Server Error"));
    }
    if let Some(setting) = setting.as_object_mut() {
        setting.extend(fields);
    }
    if let Some(project) = state.projects.get_mut(&id) {
        project.setting = setting;
    }
    Ok(Reply::done())
}

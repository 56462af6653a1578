//! What all calls have in common, written into the OpenAPI document: the scope that a call demands, the answers that
//! every call of a kind can give, and shapes that allow nothing more than they say.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::openapi::BEARER;
use super::problem::MEDIA_TYPE;
use super::scopes::{self, ROOT};
use super::session;

type Members = Map<String, Value>;

/// The document with all of it.
pub(super) fn polished(mut document: Value) -> Value {
    for (path, calls) in members(&mut document, "paths") {
        let Some(calls) = calls.as_object_mut() else { continue };
        for (method, call) in calls {
            if let Some(call) = call.as_object_mut() {
                polish(path, method, call);
            }
        }
    }
    let asked = named_in(document.get("paths"), "requestBody");
    let Some(components) = document.get_mut("components") else { return document };
    for (name, schema) in members(components, "schemas") {
        make_strict(schema, asked.contains(name));
    }
    document
}

fn members<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    value.get_mut(name).and_then(Value::as_object_mut).into_iter().flatten()
}

/// One call of one path.
fn polish(path: &str, method: &str, call: &mut Members) {
    let scope = path.strip_prefix(ROOT).and_then(|it| scopes::of(it, method == "get"));
    let security = match scope {
        Some(it) => json!([{ BEARER: [it.as_str()] }]),
        // Whatever opens opens a session.
        None if (path, method) == (session::PATH, "post") => json!([{ BEARER: [] }]),
        None => json!([]),
    };
    call.insert("security".to_owned(), security);
    say(call);
    for parameter in call.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(schema) = parameter.get_mut("schema") {
            take_null(schema);
        }
    }
    let body = call.get_mut("requestBody");
    let has_body = body.is_some();
    for (_, media) in body.into_iter().flat_map(|it| members(it, "content")) {
        media.get_mut("schema").into_iter().for_each(take_null);
    }
    let mut statuses = vec![500];
    if scope.is_some() {
        statuses.extend([400, 401, 403, 429, 503]);
    }
    if scope.is_some() && method != "get" {
        statuses.push(409);
    }
    if scope.is_some() && method == "post" {
        statuses.extend([408, 413, 422]);
        let parameters = call.entry("parameters").or_insert_with(|| json!([]));
        parameters.as_array_mut().into_iter().for_each(|it| it.push(idempotency_key()));
    }
    if path.contains('{') {
        statuses.push(404);
    }
    if has_body {
        statuses.extend([400, 408, 413, 415]);
    }
    let answers = call.entry("responses").or_insert_with(|| json!({}));
    if let Some(answers) = answers.as_object_mut() {
        for status in statuses {
            answers.entry(status.to_string()).or_insert_with(|| json!({ "description": "" }));
        }
        answers.iter_mut().for_each(|(status, answer)| describe(status, answer));
    }
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same call again under the same key is not run again, but answered as before.",
        "required": false,
        "schema": { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$" },
    })
}

/// `GET /x?a=`: text` of a handler's comment becomes `text`; the summary is the operation's name in words.
fn say(call: &mut Members) {
    let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
    let whole = format!("{}\n{}", text("summary"), text("description")).replace('\n', " ");
    let told = whole.split_once("`: ").map_or("", |(_, it)| it).trim();
    let mut letters = told.chars();
    let description: String = letters.next().map(|it| it.to_uppercase().chain(letters).collect()).unwrap_or_default();
    let mut summary = String::new();
    for letter in text("operationId").chars() {
        match letter {
            it if summary.is_empty() => summary.extend(it.to_uppercase()),
            it if it.is_uppercase() => summary.extend([' ', it.to_ascii_lowercase()]),
            it => summary.push(it),
        }
    }
    call.insert("summary".to_owned(), summary.into());
    call.insert("description".to_owned(), description.into());
}

/// An answer without words of its own has those of its status; an error is a problem document.
fn describe(status: &str, answer: &mut Value) {
    let Some(answer) = answer.as_object_mut() else { return };
    let code = status.parse().ok().and_then(|it| StatusCode::from_u16(it).ok()).unwrap_or_default();
    if answer.get("description").and_then(Value::as_str).unwrap_or_default().is_empty() {
        answer.insert("description".to_owned(), code.canonical_reason().unwrap_or_default().into());
    }
    if (code.is_client_error() || code.is_server_error()) && !answer.contains_key("content") {
        let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        answer.insert("content".to_owned(), json!({ MEDIA_TYPE: problem }));
    }
}

/// What may be left out is not sent as null instead.
fn take_null(schema: &mut Value) {
    for (name, null) in [("oneOf", json!({ "type": "null" })), ("type", "null".into())] {
        let Some(choices) = schema.get_mut(name).and_then(Value::as_array_mut) else { continue };
        choices.retain(|it| *it != null);
        let [only] = choices.as_slice() else { continue };
        let only = only.clone();
        match schema.get_mut(name) {
            Some(kind) if name == "type" => *kind = only,
            _ => *schema = only,
        }
    }
}

/// The names of all shapes that are referred to below members of this name.
fn named_in(value: Option<&Value>, within: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(value, within, false, &mut found);
    found
}

fn collect(value: Option<&Value>, within: &str, inside: bool, found: &mut BTreeSet<String>) {
    match value {
        Some(Value::Object(members)) => {
            for (name, it) in members {
                if let (true, "$ref", Some((_, shape))) =
                    (inside, name.as_str(), it.as_str().and_then(|it| it.rsplit_once('/')))
                {
                    found.insert(shape.to_owned());
                }
                collect(Some(it), within, inside || name == within, found);
            }
        }
        Some(Value::Array(items)) => items.iter().for_each(|it| collect(Some(it), within, inside, found)),
        _ => {}
    }
}

/// Nothing beside what it names; and what is null rather than left out is always there in an answer.
fn make_strict(schema: &mut Value, is_asked: bool) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        make_strict(part, is_asked);
    }
    let Some(schema) = schema.as_object_mut() else { return };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let nullable: Vec<Value> =
        properties.iter().filter(|(_, it)| is_nullable(it)).map(|(name, _)| name.clone().into()).collect();
    if !is_asked {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            let more: Vec<Value> = nullable.into_iter().filter(|it| !required.contains(it)).collect();
            required.extend(more);
        }
    }
    schema.entry("additionalProperties").or_insert(Value::Bool(false));
}

fn is_nullable(schema: &Value) -> bool {
    let has_null =
        |name: &str, null: Value| schema.get(name).and_then(Value::as_array).is_some_and(|it| it.contains(&null));
    has_null("type", "null".into()) || has_null("oneOf", json!({ "type": "null" }))
}

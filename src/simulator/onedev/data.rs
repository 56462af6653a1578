//! A project's data as OneDev's REST takes and gives it: strict about fields, silent about length.

use serde_json::{Map, Value, json};

use super::reply::Reply;
use super::state::{Project, State};

/// What a client may set on a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProjectData {
    pub(crate) parent: Option<i64>,
    pub(crate) forked_from: Option<i64>,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) code_management: bool,
    pub(crate) pack_management: bool,
    pub(crate) issue_management: bool,
    pub(crate) time_tracking: bool,
    pub(crate) service_desk: Option<String>,
    pub(crate) git_pack_config: Value,
    pub(crate) code_analysis: Value,
}

/// A description is cut here, in UTF-16 units, without a word.
const LONGEST_DESCRIPTION: usize = 15_000;

const CLASS: &str = "io.onedev.server.rest.resource.ProjectResource$ProjectData";

/// The 13 properties, and two that are taken and overlooked.
const KNOWN: [&str; 15] = [
    "timeTracking",
    "parentId",
    "forkedFromId",
    "codeAnalysisSetting",
    "name",
    "gitPackConfig",
    "codeManagement",
    "id",
    "description",
    "key",
    "serviceDeskEmailAddress",
    "packManagement",
    "issueManagement",
    "path",
    "createDate",
];

impl ProjectData {
    /// A project of a name with everything else as OneDev sets it.
    pub(crate) fn named(parent: Option<i64>, name: &str) -> Self {
        Self {
            parent,
            forked_from: None,
            name: name.to_owned(),
            key: None,
            description: None,
            code_management: true,
            pack_management: true,
            issue_management: true,
            time_tracking: false,
            service_desk: None,
            git_pack_config: pack_config(&Value::Null),
            code_analysis: json!({ "analysisFiles": null }),
        }
    }

    /// Reads a body. `argument` is how the bean validation calls it: `createProject.arg0`.
    ///
    /// # Errors
    /// The 400 that OneDev answers.
    pub(crate) fn parse(body: &[u8], argument: &str) -> Result<Self, Reply> {
        if body.is_empty() {
            return Err(Reply::bean(&format!("{argument}: must not be null")));
        }
        let fields = object(body)?;
        check_known(&fields, &KNOWN, CLASS)?;
        let reader = Reader(&fields);
        let name = reader.text("name")?;
        let missing: Vec<_> = [
            name.is_none().then(|| format!("{argument}.name: must not be empty")),
            reader.is_null("gitPackConfig").then(|| format!("{argument}.gitPackConfig: must not be null")),
            reader.is_null("codeAnalysisSetting").then(|| format!("{argument}.codeAnalysisSetting: must not be null")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (Some(name), []) = (name, missing.as_slice()) else { return Err(Reply::bean(&missing.join(", "))) };
        Ok(Self {
            parent: reader.number("parentId")?,
            forked_from: reader.number("forkedFromId")?,
            key: reader.text("key")?,
            description: reader.text("description")?.map(|it| cut(&it)),
            code_management: reader.flag("codeManagement", true)?,
            pack_management: reader.flag("packManagement", true)?,
            issue_management: reader.flag("issueManagement", true)?,
            time_tracking: reader.flag("timeTracking", false)?,
            service_desk: reader.text("serviceDeskEmailAddress")?,
            git_pack_config: pack_config(fields.get("gitPackConfig").unwrap_or(&Value::Null)),
            code_analysis: json!({ "analysisFiles": fields.get("codeAnalysisSetting").and_then(|it| it.get("analysisFiles")) }),
            name,
        })
    }
}

fn pack_config(given: &Value) -> Value {
    json!({
        "windowMemory": given.get("windowMemory"),
        "packSizeLimit": given.get("packSizeLimit"),
        "threads": given.get("threads"),
        "window": given.get("window"),
    })
}

/// A project as `GET` shows it.
pub(crate) fn show(state: &State, project: &Project) -> Value {
    let data = &project.data;
    json!({
        "id": project.id,
        "parentId": data.parent,
        "forkedFromId": data.forked_from,
        "name": data.name,
        "key": data.key,
        "path": state.path(project.id),
        "description": data.description,
        "createDate": project.create_date,
        "codeManagement": data.code_management,
        "packManagement": data.pack_management,
        "issueManagement": data.issue_management,
        "timeTracking": data.time_tracking,
        "serviceDeskEmailAddress": data.service_desk,
        "gitPackConfig": data.git_pack_config,
        "codeAnalysisSetting": data.code_analysis,
    })
}

/// The JSON object that a body holds.
///
/// # Errors
/// 400 with the parser's words.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Reply> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Reply::text(400, "Cannot deserialize value from a token that is no object")),
        Err(error) => Err(Reply::text(
            400,
            &format!(
                "Unexpected character: {error}\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]",
                error.line(),
                error.column()
            ),
        )),
    }
}

/// Refuses fields that the class does not have.
///
/// # Errors
/// 400 with Jackson's words.
pub(crate) fn check_known(fields: &Map<String, Value>, known: &[&str], class: &str) -> Result<(), Reply> {
    match fields.keys().find(|it| !known.contains(&it.as_str())) {
        None => Ok(()),
        Some(field) => {
            let listed: Vec<_> = known.iter().filter(|it| !matches!(**it, "path" | "createDate")).collect();
            let names = listed.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ");
            Err(Reply::text(
                400,
                &format!(
                    "Unrecognized field \"{field}\" (class {class}), not marked as ignorable ({} known properties: {names}])\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1] (through reference chain: {class}[\"{field}\"])",
                    listed.len(),
                ),
            ))
        }
    }
}

/// Typed access to a body's fields.
pub(crate) struct Reader<'a>(pub(crate) &'a Map<String, Value>);

impl Reader<'_> {
    fn is_null(&self, name: &str) -> bool {
        self.0.get(name).is_none_or(Value::is_null)
    }

    /// A text; blank ones count as none.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Reply> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok((!text.trim().is_empty()).then(|| text.clone())),
            Some(_) => Err(mismatch("java.lang.String", name)),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Reply> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| mismatch("java.lang.Long", name)),
        }
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Reply> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| mismatch("boolean", name)),
        }
    }
}

fn mismatch(wanted: &str, name: &str) -> Reply {
    Reply::text(
        400,
        &format!("Cannot deserialize value of type `{wanted}` (through reference chain: {CLASS}[\"{name}\"])"),
    )
}

/// The first units of a text; half a character becomes a replacement character.
fn cut(text: &str) -> String {
    let units: Vec<u16> = text.encode_utf16().take(LONGEST_DESCRIPTION).collect();
    String::from_utf16_lossy(&units)
}

//! Stories about OneDev's answers. `wire` and `settings` replay what a running server was seen to
//! send.

mod places;
mod settings;
mod wire;

use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::OnedevClient;
use crate::config::onedev::Onedev;
use crate::domain::naming::ProjectPath;
use crate::domain::refs::Oid;
use crate::telemetry::metrics::Metrics;

const TOKEN: &str = "very-secret";

fn config(url: &Url) -> Onedev {
    Onedev { url: Some(url.clone()), token: Some(SecretString::from(TOKEN)), ..Onedev::default() }
}

fn client(url: &Url) -> OnedevClient {
    OnedevClient::new(&config(url), &Metrics::new().unwrap()).unwrap()
}

fn path(text: &str) -> ProjectPath {
    text.parse().unwrap()
}

fn oid(digit: char) -> Oid {
    digit.to_string().repeat(40).parse().unwrap()
}

/// A project as the real server prints it.
fn project(id: i64, parent: Option<i64>, path: &str) -> Value {
    json!({
        "id": id, "parentId": parent, "forkedFromId": null, "name": path.rsplit('/').next().unwrap(), "key": "ABC",
        "path": path, "description": "old", "createDate": "2026-11-20T15:38:55.816+00:00",
        "codeManagement": true, "packManagement": false, "issueManagement": false, "timeTracking": true,
        "serviceDeskEmailAddress": null,
        "gitPackConfig": {"windowMemory": "1g", "packSizeLimit": null, "threads": null, "window": null},
        "codeAnalysisSetting": {"analysisFiles": null},
    })
}

//! Answers as OneDev words and labels them: errors are plain text, bean validation is plain text
//! that calls itself JSON, and an update's success has neither body nor type.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::Value;

/// What a REST call answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: String,
}

impl Reply {
    /// An error, or whatever else is plain text.
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: Some("text/plain"), body: body.to_owned() }
    }

    /// Words of the bean validation: 400, and labelled as the JSON that they are not.
    pub(crate) fn bean(body: &str) -> Self {
        Self { status: 400, content_type: Some("application/json"), body: body.to_owned() }
    }

    /// 200 with JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self { status: 200, content_type: Some("application/json"), body: body.to_string() }
    }

    /// 200 with a text that is labelled as the JSON that it is not, as all of OneDev's strings are.
    pub(crate) fn bare(body: &str) -> Self {
        Self { status: 200, content_type: Some("application/json"), body: body.to_owned() }
    }

    /// 200 without a body.
    pub(crate) fn done() -> Self {
        Self { status: 200, content_type: None, body: String::new() }
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self { status: 204, content_type: None, body: String::new() }
    }

    /// 404 for a row that is not there.
    pub(crate) fn no_row(class: &str, id: &str) -> Self {
        let class = format!("io.onedev.server.model.{class}");
        Self::text(404, &format!("No row with the given identifier exists: [{class}#{id}]"))
    }

    /// 404 for a path that is not there or not to be seen.
    pub(crate) fn no_project(path: &str) -> Self {
        Self::text(404, &format!("Project not found or inaccessible: {path}"))
    }

    /// 403.
    pub(crate) fn forbidden() -> Self {
        Self::text(403, "Not authorized")
    }

    /// A surprise inside the server.
    pub(crate) fn server_error(words: &str) -> Self {
        Self::text(500, words)
    }
}

impl From<Reply> for HttpResponse {
    fn from(reply: Reply) -> Self {
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(content_type) = reply.content_type {
            response.content_type(content_type);
        }
        response.body(reply.body)
    }
}

impl From<git2::Error> for Reply {
    fn from(error: git2::Error) -> Self {
        Self::server_error(error.message())
    }
}

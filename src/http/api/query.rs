//! What stands behind the `?` and in the path, checked.

use std::collections::BTreeMap;
use std::str::FromStr;

use actix_web::HttpRequest;
use uuid::Uuid;

use crate::domain::ids::{JobId, MirrorId};
use crate::http::problem::Problem;
use crate::store::Window;

/// Rows in a page at most.
const LARGEST_PAGE: u32 = 200;
/// Longer values are refused. Bytes.
const LONGEST: usize = 512;
/// What every list takes.
const PAGING: [&str; 2] = ["limit", "cursor"];

/// Parameters of a query, all of them known.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// For a call that takes these parameters.
    ///
    /// # Errors
    /// 400 for any other parameter, one given twice, or a value that is too long.
    pub(super) fn read(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(unknown(&name, known));
            }
            if value.len() > LONGEST {
                return Err(refused(&name, &format!("it has at most {LONGEST} bytes")));
            }
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(refused(&name, "it is given twice"));
            }
        }
        Ok(Self(values))
    }

    /// For a list that takes these parameters besides `limit` and `cursor`.
    ///
    /// # Errors
    /// As [`Query::read`]; 400 for a limit that is none.
    pub(super) fn list(request: &HttpRequest, known: &[&str]) -> Result<(Self, Window), Problem> {
        let query = Self::read(request, &[known, &PAGING].concat())?;
        let limit: u32 = query.get("limit", "it is a number from 1 to 200")?.unwrap_or(Window::default().limit);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(refused("limit", "it is a number from 1 to 200"));
        }
        let cursor = query.text("cursor");
        Ok((query, Window { limit, cursor }))
    }

    /// A text; an empty one counts as not given.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|it| !it.is_empty()).cloned()
    }

    /// A value of some form; `form` says which.
    ///
    /// # Errors
    /// 400 for another form.
    pub(super) fn get<T: FromStr>(&self, name: &str, form: &str) -> Result<Option<T>, Problem> {
        self.text(name).map(|it| it.parse().map_err(|_| refused(name, form))).transpose()
    }

    /// One word out of a few.
    ///
    /// # Errors
    /// 400 for any other word.
    pub(super) fn word<T: FromStr>(&self, name: &str, words: &[&str]) -> Result<Option<T>, Problem> {
        self.get(name, &format!("it is one of {}", words.join(", ")))
    }
}

fn refused(name: &str, why: &str) -> Problem {
    Problem::bad_request("query_malformed", format!("the query parameter `{}` is refused: {why}", shown(name)))
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let takes = if known.is_empty() { "takes none".to_owned() } else { format!("takes {}", known.join(", ")) };
    let detail = format!("there is no query parameter `{}` here; this call {takes}", shown(name));
    Problem::bad_request("query_unknown", detail)
}

/// What a caller wrote, fit to be shown back.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

/// The mirror that the path names.
///
/// # Errors
/// 404: what is no id names no mirror.
pub(super) fn mirror_id(request: &HttpRequest) -> Result<MirrorId, Problem> {
    let id = request.match_info().get("id").and_then(|it| Uuid::try_parse(it).ok());
    id.map(MirrorId).ok_or_else(no_mirror)
}

/// There is no such mirror.
pub(super) fn no_mirror() -> Problem {
    Problem::not_found("mirror_not_found", "there is no mirror of this id")
}

/// The job that the path names.
///
/// # Errors
/// 404: what is no id names no job.
pub(super) fn job_id(request: &HttpRequest) -> Result<JobId, Problem> {
    let id = request.match_info().get("id").and_then(|it| it.parse().ok());
    id.map(JobId).ok_or_else(no_job)
}

/// There is no such job.
pub(super) fn no_job() -> Problem {
    Problem::not_found("job_not_found", "there is no job of this id; ended ones are kept for some days only")
}

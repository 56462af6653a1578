//! What both servers' LFS has in common: a folder of objects beside a repository, and the batch call's JSON.

use std::path::{Path, PathBuf};

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use bytes::BytesMut;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::streams::ByteStream;

/// The type of every LFS answer.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Longer questions are cut.
const LONGEST: usize = 4 << 20;
const CHUNK: usize = 64 * 1024;

/// A batch question.
#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) transfers: Vec<String>,
    #[serde(default)]
    pub(crate) objects: Vec<Wanted>,
}

/// One object of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) oid: String,
    pub(crate) size: u64,
}

impl Question {
    pub(crate) async fn read(mut body: ByteStream) -> Option<Self> {
        let mut all = BytesMut::new();
        while let Some(chunk) = body.next().await {
            all.extend_from_slice(&chunk.ok()?);
            if all.len() > LONGEST {
                return None;
            }
        }
        serde_json::from_slice(&all).ok()
    }
}

/// Whether a text is an object's id.
pub(crate) fn is_oid(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Where an object of a repository is on disk.
pub(crate) fn place(repository: &Path, oid: &str) -> PathBuf {
    repository.join("lfs").join("objects").join(oid)
}

/// Puts an object's bytes there, whatever they are.
pub(crate) fn store(repository: &Path, oid: &str, content: &[u8]) -> std::io::Result<()> {
    let place = place(repository, oid);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(place, content)
}

/// An answer in JSON.
pub(crate) fn answer(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type(MEDIA_TYPE).body(body.to_string())
}

/// An answer with only a message.
pub(crate) fn said(status: u16, message: &str) -> HttpResponse {
    answer(status, &json!({ "message": message }))
}

/// What is said of one object that is not to be had.
pub(crate) fn refused(wanted: &Wanted, code: u16, message: &str) -> Value {
    json!({ "oid": wanted.oid, "size": wanted.size, "error": { "code": code, "message": message } })
}

/// The bytes of a file.
pub(crate) async fn file(path: &Path) -> Option<HttpResponse> {
    let file = tokio::fs::File::open(path).await.ok()?;
    let size = file.metadata().await.ok()?.len();
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(CHUNK);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (piece.freeze(), file)))
    });
    let body = SizedStream::new(size, pieces.boxed_local());
    Some(HttpResponse::Ok().content_type("application/octet-stream").body(body))
}

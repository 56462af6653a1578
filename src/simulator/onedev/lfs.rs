//! The simulated OneDev's LFS, with its traps: links to an address of its settings, objects that are
//! deleted when other bytes arrive, files that stand under their final name while they are written, and
//! a batch call that waits for them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use super::auth::{Access, Principal};
use super::{OneDevSimulator, Phase, Shared};
use crate::domain::lfs::LfsOid;
use crate::simulator::SimulatorError;
use crate::simulator::lfs::{self, Question, Wanted};
use crate::simulator::record::lock;
use crate::simulator::streams::{ByteStream, severed};

/// What OneDev's setting `serverUrl` says: not where it can be reached.
const SERVER_URL: &str = "http://onedev.invalid:6610";
/// OneDev's default.
const LARGEST: u64 = 4096 << 20;
const BATCH: &str = "info/lfs/objects/batch";

/// Objects that are being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writing {
    files: Arc<Mutex<HashSet<PathBuf>>>,
    ended: Arc<Notify>,
}

/// One of them. Over when dropped, also when the server is killed.
struct Written {
    writing: Writing,
    file: PathBuf,
}

impl Writing {
    fn begin(&self, file: PathBuf) -> Written {
        lock(&self.files).insert(file.clone());
        Written { writing: self.clone(), file }
    }

    /// Waits until nobody writes it.
    async fn over(&self, file: &PathBuf) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !lock(&self.files).contains(file) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        lock(&self.writing.files).remove(&self.file);
        self.writing.ended.notify_waiters();
    }
}

impl OneDevSimulator {
    /// The bytes that stand under an object's id in a project.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn lfs_object(&self, path: &str, oid: LfsOid) -> Result<Option<Vec<u8>>, SimulatorError> {
        Ok(std::fs::read(lfs::place(&self.repo_dir(path)?, &oid.to_string())).ok())
    }

    /// Puts bytes there, right or wrong.
    ///
    /// # Errors
    /// When there is no such project or the disk refuses.
    pub fn put_lfs(&self, path: &str, oid: LfsOid, content: &[u8]) -> Result<(), SimulatorError> {
        Ok(lfs::store(&self.repo_dir(path)?, &oid.to_string(), content)?)
    }

    /// Takes an object away.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete_lfs(&self, path: &str, oid: LfsOid) -> Result<(), SimulatorError> {
        Ok(std::fs::remove_file(lfs::place(&self.repo_dir(path)?, &oid.to_string()))?)
    }
}

/// Answers LFS calls; `Err` gives the body back for whatever else it is.
pub(crate) async fn answer(
    shared: &web::Data<Shared>,
    request: &HttpRequest,
    body: ByteStream,
) -> Result<HttpResponse, ByteStream> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let object = path.rsplit_once("/lfs/objects/").filter(|_| request.query_string() == "lfs-objects=true");
    let (repository, object) = match (path.strip_suffix(BATCH), object) {
        (Some(repository), _) => (repository.trim_end_matches('/'), None),
        (None, Some((repository, oid))) => (repository, Some(oid)),
        (None, None) => return Err(body),
    };
    if *lock(&shared.phase) != Phase::Ready {
        return Ok(lfs::said(503, "Server not ready"));
    }
    let writes = object.is_some() && request.method() != "GET";
    let folder = match folder(shared, request, repository, &path, writes) {
        Ok(folder) => folder,
        Err(refusal) => return Ok(*refusal),
    };
    Ok(match object {
        None => batch(shared, request, body, repository, &folder).await,
        Some(oid) if writes => write(shared, body, lfs::place(&folder, oid), oid).await,
        Some(oid) => match lfs::file(&lfs::place(&folder, oid)).await {
            Some(response) => response,
            None => lfs::said(404, "Object not found"),
        },
    })
}

fn folder(
    shared: &Shared,
    request: &HttpRequest,
    repository: &str,
    path: &str,
    writes: bool,
) -> Result<PathBuf, Box<HttpResponse>> {
    let header = request.headers().get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let state = lock(&shared.state);
    let unknown = || {
        let mut response = lfs::said(401, "Authentication required");
        let challenge = actix_web::http::header::HeaderValue::from_static("Basic realm=\"OneDev\"");
        response.headers_mut().insert("lfs-authenticate".parse().unwrap_or(ACCEPT), challenge);
        Box::new(response)
    };
    let principal = Principal::of(&state, &shared.options.onedev_password, header).map_err(|_| unknown())?;
    if principal == Principal::Anonymous {
        return Err(unknown());
    }
    // Without `.git` the rest of the address is taken for a part of the project's path.
    let bare = repository.strip_suffix(".git");
    let found = bare
        .and_then(|it| state.at(it))
        .filter(|it| principal.access(&state, it.id) >= if writes { Access::Write } else { Access::Read });
    match found {
        Some(project) => Ok(project.folder.clone()),
        None => Err(Box::new(lfs::said(404, &format!("Project not found or inaccessible: {path}")))),
    }
}

async fn batch(
    shared: &web::Data<Shared>,
    request: &HttpRequest,
    body: ByteStream,
    repository: &str,
    folder: &std::path::Path,
) -> HttpResponse {
    let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !header(ACCEPT).starts_with(lfs::MEDIA_TYPE) && !header(CONTENT_TYPE).starts_with(lfs::MEDIA_TYPE) {
        return lfs::said(406, "Not acceptable");
    }
    let Some(question) = Question::read(body).await else {
        return lfs::said(500, "Internal server error, please check server log");
    };
    if !question.transfers.is_empty() && !question.transfers.iter().any(|it| it == "basic") {
        return lfs::said(406, "This server can only accept basic transfer");
    }
    if question.objects.iter().any(|it| !lfs::is_oid(&it.oid)) {
        return lfs::said(500, "Internal server error, please check server log");
    }
    let authorization = header(AUTHORIZATION).to_owned();
    let mut objects: Vec<Value> = Vec::new();
    for wanted in &question.objects {
        let file = lfs::place(folder, &wanted.oid);
        shared.writing.over(&file).await;
        objects.push(one(&question.operation, wanted, file.is_file(), repository, &authorization));
    }
    lfs::answer(200, &json!({ "objects": objects }))
}

fn one(operation: &str, wanted: &Wanted, is_there: bool, repository: &str, authorization: &str) -> Value {
    let (oid, size) = (&wanted.oid, wanted.size);
    let action = json!({
        "header": { "Authorization": authorization },
        "href": format!("{SERVER_URL}/{repository}/lfs/objects/{oid}?lfs-objects=true"),
    });
    match (operation, is_there) {
        ("upload", true) => json!({ "size": size, "oid": oid }),
        ("upload", false) if size > LARGEST => {
            lfs::refused(wanted, 406, &format!("Exceeded max acceptable LFS file size {LARGEST}"))
        }
        (_, false) if operation != "upload" => lfs::refused(wanted, 404, "Object not found"),
        (operation, _) => json!({ "size": size, "oid": oid, "actions": { operation: action } }),
    }
}

/// Straight into the final file, whatever was there.
async fn write(shared: &web::Data<Shared>, mut body: ByteStream, place: PathBuf, oid: &str) -> HttpResponse {
    let _written = shared.writing.begin(place.clone());
    if let Some(folder) = place.parent()
        && std::fs::create_dir_all(folder).is_err()
    {
        return HttpResponse::InternalServerError().finish();
    }
    let Ok(mut file) = tokio::fs::File::create(&place).await else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut hash = Sha256::new();
    while let Some(chunk) = body.next().await {
        // Who goes away in the middle leaves what has come.
        let Ok(chunk) = chunk else { return severed() };
        hash.update(&chunk);
        if file.write_all(&chunk).await.is_err() || file.flush().await.is_err() {
            return HttpResponse::InternalServerError().finish();
        }
    }
    drop(file);
    if hex::encode(hash.finalize()) == oid {
        return HttpResponse::Ok().finish();
    }
    let _gone = tokio::fs::remove_file(&place).await;
    HttpResponse::InternalServerError().finish()
}

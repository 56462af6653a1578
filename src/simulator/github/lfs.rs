//! The simulated GitHub's LFS: the batch call below the repository's address, objects under another one with a
//! signature that runs out, uploads that count once they are verified, and whatever is wrong with single objects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{GithubSimulator, Shared, git};
use crate::domain::ids::GithubId;
use crate::domain::lfs::{LfsOid, Pointer};
use crate::domain::refs::Oid;
use crate::simulator::SimulatorError;
use crate::simulator::git_http::{GitCall, Service};
use crate::simulator::lfs::{self, Question, Wanted};
use crate::simulator::record::lock;
use crate::simulator::streams::{ByteStream, severed};

const BATCH: &str = "/info/lfs/objects/batch";
const STORE: &str = "/_lfs/";
const VERIFY: &str = "/_lfs-verify/";
/// How the name of an object ends until its upload was verified.
const UNVERIFIED: &str = "unverified";

/// What GitHub knows of LFS beside the objects' bytes.
#[derive(Debug, Clone)]
pub(crate) struct LfsState {
    /// Errors of single objects, by repository and id.
    refusals: BTreeMap<(GithubId, String), u16>,
    /// Links of another generation have run out.
    generation: u64,
    /// What links say of their life, in seconds.
    expires_in: i64,
}

impl Default for LfsState {
    fn default() -> Self {
        Self { refusals: BTreeMap::new(), generation: 0, expires_in: 3600 }
    }
}

impl GithubSimulator {
    /// Stores an LFS object; no file points at it yet.
    ///
    /// # Errors
    /// When there is no such repository or the disk refuses.
    pub fn put_lfs(&self, id: GithubId, content: &[u8]) -> Result<Pointer, SimulatorError> {
        let pointer = Pointer::of(content);
        lfs::store(&self.repo_dir(id)?, &pointer.oid.to_string(), content)?;
        Ok(pointer)
    }

    /// Stores an LFS object and commits a file that points at it.
    ///
    /// # Errors
    /// When there is no such repository or the disk refuses.
    pub fn commit_lfs(
        &self,
        id: GithubId,
        branch: &str,
        path: &str,
        content: &[u8],
    ) -> Result<(Oid, Pointer), SimulatorError> {
        let pointer = self.put_lfs(id, content)?;
        let text = String::from_utf8_lossy(&pointer.to_bytes()).into_owned();
        Ok((self.commit(id, branch, path, &text)?, pointer))
    }

    /// Gives other bytes than it should for an object from now on.
    ///
    /// # Errors
    /// When there is no such repository or the disk refuses.
    pub fn spoil_lfs(&self, id: GithubId, oid: LfsOid, content: &[u8]) -> Result<(), SimulatorError> {
        Ok(lfs::store(&self.repo_dir(id)?, &oid.to_string(), content)?)
    }

    /// The bytes of an object that counts.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn lfs_object(&self, id: GithubId, oid: LfsOid) -> Result<Option<Vec<u8>>, SimulatorError> {
        Ok(std::fs::read(lfs::place(&self.repo_dir(id)?, &oid.to_string())).ok())
    }

    /// Answers for an object with an error of this code, until it is mended.
    pub fn refuse_lfs(&self, id: GithubId, oid: LfsOid, code: u16) {
        lock(&self.shared.state).lfs.refusals.insert((id, oid.to_string()), code);
    }

    /// Takes such an error back.
    pub fn mend_lfs(&self, id: GithubId, oid: LfsOid) {
        lock(&self.shared.state).lfs.refusals.remove(&(id, oid.to_string()));
    }

    /// Every link that was given out has run out.
    pub fn expire_lfs_links(&self) {
        lock(&self.shared.state).lfs.generation += 1;
    }

    /// What links say of their own life.
    pub fn set_lfs_link_life(&self, seconds: i64) {
        lock(&self.shared.state).lfs.expires_in = seconds;
    }
}

/// Answers LFS calls; `Err` gives the body back for whatever else it is.
pub(crate) async fn answer(
    shared: &Shared,
    request: &HttpRequest,
    body: ByteStream,
) -> Result<HttpResponse, ByteStream> {
    let path = request.uri().path();
    if let Some(rest) = path.strip_prefix(STORE) {
        return Ok(match request.method().as_str() {
            "PUT" => upload(shared, request, rest, body).await,
            _ => download(shared, request, rest).await,
        });
    }
    if let Some(rest) = path.strip_prefix(VERIFY) {
        return Ok(verify(shared, request, rest, body).await);
    }
    match path.strip_suffix(BATCH).and_then(|it| it.strip_prefix('/')) {
        Some(repository) => Ok(batch(shared, request, body, repository).await),
        None => Err(body),
    }
}

async fn batch(shared: &Shared, request: &HttpRequest, body: ByteStream, repository: &str) -> HttpResponse {
    // Whether somebody may write is found out when his answer is made.
    let found = |service| git::find(&lock(&shared.state), request, repository, GitCall::Exchange(service));
    let (writable, found) = (found(Service::ReceivePack).is_ok(), found(Service::UploadPack));
    let (id, folder) = match found {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !header(ACCEPT).starts_with(lfs::MEDIA_TYPE) || !header(CONTENT_TYPE).starts_with(lfs::MEDIA_TYPE) {
        return lfs::said(406, "Not Acceptable");
    }
    let Some(question) = Question::read(body).await else { return lfs::said(422, "Unprocessable") };
    if question.objects.len() > 100 {
        return lfs::said(413, "Too many objects");
    }
    let host = header("host".parse().unwrap_or(ACCEPT)).to_owned();
    let state = lock(&shared.state).lfs.clone();
    let uploads = question.operation == "upload";
    if uploads && !writable {
        return lfs::said(403, "You must have push access to upload objects");
    }
    let one = |wanted: &Wanted| -> Value {
        let file = lfs::place(&folder, &wanted.oid);
        if uploads {
            return upload_of(wanted, file.is_file(), id, &host, &state);
        }
        if let Some(code) = state.refusals.get(&(id, wanted.oid.clone())) {
            return lfs::refused(wanted, *code, "planned");
        }
        if !lfs::is_oid(&wanted.oid) || !file.is_file() {
            return lfs::refused(wanted, 404, "Object does not exist on the server");
        }
        let (generation, oid) = (state.generation, &wanted.oid);
        json!({ "oid": oid, "size": wanted.size, "actions": { "download": {
            "href": format!("http://{host}{STORE}{id}/{oid}?signature={generation}"),
            "header": { "X-Signed": "yes" },
            "expires_in": state.expires_in,
        } } })
    };
    let objects: Vec<Value> = question.objects.iter().map(one).collect();
    lfs::answer(200, &json!({ "transfer": "basic", "objects": objects }))
}

fn upload_of(wanted: &Wanted, is_there: bool, id: GithubId, host: &str, state: &LfsState) -> Value {
    let (generation, oid, size) = (state.generation, &wanted.oid, wanted.size);
    if is_there {
        return json!({ "oid": oid, "size": size });
    }
    let link = |at: &str| {
        json!({
            "href": format!("http://{host}{at}{id}/{oid}?signature={generation}"),
            "header": { "X-Signed": "yes" },
            "expires_in": state.expires_in,
        })
    };
    json!({ "oid": oid, "size": size, "actions": { "upload": link(STORE), "verify": link(VERIFY) } })
}

/// Where an object of a signed request is, and its id.
fn signed(shared: &Shared, request: &HttpRequest, rest: &str) -> Option<(PathBuf, String)> {
    let state = lock(&shared.state);
    let right = format!("signature={}", state.lfs.generation);
    if request.query_string() != right || !request.headers().contains_key("x-signed") {
        return None;
    }
    let (id, oid) = rest.split_once('/')?;
    let folder = state.folder(GithubId(id.parse().ok()?)).ok()?;
    Some((lfs::place(folder, oid), oid.to_owned()))
}

async fn upload(shared: &Shared, request: &HttpRequest, rest: &str, mut body: ByteStream) -> HttpResponse {
    let Some((place, oid)) = signed(shared, request, rest) else {
        return HttpResponse::Forbidden().finish();
    };
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return severed() };
        all.extend_from_slice(&piece);
    }
    if Pointer::of(&all).oid.to_string() != oid {
        return HttpResponse::BadRequest().finish();
    }
    let made = place.parent().map_or(Ok(()), std::fs::create_dir_all);
    match made.and_then(|()| std::fs::write(place.with_extension(UNVERIFIED), all)) {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn verify(shared: &Shared, request: &HttpRequest, rest: &str, mut body: ByteStream) -> HttpResponse {
    let mut all = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        all.extend_from_slice(&piece);
    }
    let told: Option<Pointer> = serde_json::from_slice(&all).ok();
    let Some((place, oid)) = signed(shared, request, rest).filter(|_| told.is_some()) else {
        return HttpResponse::Forbidden().finish();
    };
    let whole = told.is_some_and(|it| it.oid.to_string() == oid);
    match std::fs::rename(place.with_extension(UNVERIFIED), place) {
        Ok(()) if whole => HttpResponse::Ok().finish(),
        _ => lfs::said(404, "Object does not exist on the server"),
    }
}

async fn download(shared: &Shared, request: &HttpRequest, rest: &str) -> HttpResponse {
    let (generation, folder) = {
        let state = lock(&shared.state);
        let id = rest.split('/').next().and_then(|it| it.parse().ok()).map(GithubId);
        (state.lfs.generation, id.and_then(|it| state.folder(it).ok().map(std::path::Path::to_path_buf)))
    };
    let signed =
        request.query_string() == format!("signature={generation}") && request.headers().contains_key("x-signed");
    if !signed {
        return HttpResponse::Forbidden().content_type("application/xml").body("<Error>AccessDenied</Error>");
    }
    let oid = rest.rsplit('/').next().unwrap_or_default();
    let Some(folder) = folder else { return HttpResponse::NotFound().finish() };
    match lfs::file(&lfs::place(&folder, oid)).await {
        Some(response) => response,
        None => HttpResponse::NotFound().finish(),
    }
}

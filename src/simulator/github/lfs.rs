//! The simulated GitHub's LFS: the batch call below the repository's address, downloads under another
//! one with a signature that runs out, and whatever is wrong with single objects.

use std::collections::BTreeMap;

use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::{GithubSimulator, Shared, git};
use crate::domain::ids::GithubId;
use crate::domain::lfs::{LfsOid, Pointer};
use crate::domain::refs::Oid;
use crate::simulator::SimulatorError;
use crate::simulator::git_http::{GitCall, Service};
use crate::simulator::lfs::{self, Question, Wanted};
use crate::simulator::record::lock;
use crate::simulator::streams::ByteStream;

const BATCH: &str = "/info/lfs/objects/batch";
const STORE: &str = "/_lfs/";

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
        return Ok(download(shared, request, rest).await);
    }
    match path.strip_suffix(BATCH).and_then(|it| it.strip_prefix('/')) {
        Some(repository) => Ok(batch(shared, request, body, repository).await),
        None => Err(body),
    }
}

async fn batch(shared: &Shared, request: &HttpRequest, body: ByteStream, repository: &str) -> HttpResponse {
    let call = GitCall::Exchange(Service::UploadPack);
    let found = git::find(&lock(&shared.state), request, repository, call);
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
    let one = |wanted: &Wanted| -> Value {
        let file = lfs::place(&folder, &wanted.oid);
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

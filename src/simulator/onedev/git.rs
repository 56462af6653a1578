//! The simulated OneDev's git: smart HTTP under nested paths, one queue for all pack requests, and
//! hooks that decide and talk.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::auth::{Access, BAD_CREDENTIALS, Principal};
use super::hooks::{self, CURL_500};
use super::pushes::UnderWay;
use super::reply::Reply;
use super::{Phase, Shared};
use crate::simulator::git_http::{self, GitCall, Service};
use crate::simulator::pkt::{Command, Packet, Splitter, accepted, has_capability};
use crate::simulator::process::Quirks;
use crate::simulator::record::lock;
use crate::simulator::ssh::{Call, Output};
use crate::simulator::streams::{self, ByteStream, severed};

/// A list of commands is read ahead, since the hook's verdict depends on all of it; no list that is
/// meant is longer.
const LONGEST_LIST: usize = 256 * 1024 * 1024;

pub(crate) async fn answer(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: ByteStream,
    quirks: Quirks,
    path: &str,
    call: GitCall,
) -> HttpResponse {
    if *lock(&shared.phase) != Phase::Ready {
        return Reply::text(503, "Server not ready").into();
    }
    let project = match find(&shared, &request, path, call) {
        Ok(project) => project,
        Err(refusal) => return *refusal,
    };
    let GitCall::Exchange(service) = call else {
        return git_http::answer(&shared.git, &project.folder, call, request.headers(), body).await;
    };
    // The slot is taken when the request arrives, before anything of the body is read.
    let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else { return severed() };
    let body = streams::until_idle(body, shared.options.onedev_idle);
    let output = match service {
        Service::UploadPack => git_http::exchange(&shared.git, &project.folder, service, request.headers(), body).await,
        Service::ReceivePack => push(&shared, request.headers(), &project, body, &quirks).await,
    };
    match output {
        Ok(output) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, format!("application/x-{}-result", service.name())))
            .insert_header(("Cache-Control", "no-cache, max-age=0, must-revalidate"))
            .streaming(keeping(output, slot)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => severed(),
        Err(error) => Reply::server_error(&error.to_string()).into(),
    }
}

/// Answers a program that was run over SSH. Every key is one of `admin`.
///
/// The whole conversation holds a slot, the greeting included. A project that is not there is made by
/// the mere start of a push, parents and all.
pub(crate) async fn answer_ssh(shared: web::Data<Shared>, call: Call) -> Output {
    if *lock(&shared.phase) != Phase::Ready {
        return Err("Server not ready".to_owned());
    }
    let Call { service, path, protocol, listens_only, body, quirks } = call;
    let project = find_ssh(&shared, &path, service)?;
    let closing = || "the server is closing".to_owned();
    let slot = Arc::clone(&shared.slots).acquire_owned().await.map_err(|_| closing())?;
    let words = |error: io::Error| error.to_string();
    if service == Service::UploadPack {
        let protocol = protocol.as_deref();
        let output = git_http::conversation(&shared.git, &project.folder, service, protocol, body).await;
        return Ok(keeping(output.map_err(words)?, slot));
    }
    let greeting = git_http::greeting(&shared.git, &project.folder, service, None).await.map_err(words)?;
    if listens_only {
        return Ok(keeping(greeting, slot));
    }
    let report = async move { push(&shared, &HeaderMap::new(), &project, body, &quirks).await };
    let report = stream::once(report).try_flatten();
    Ok(keeping(greeting.chain(report).boxed_local(), slot))
}

fn find_ssh(shared: &Shared, path: &str, service: Service) -> Result<Target, String> {
    let mut state = lock(&shared.state);
    let bare = path.strip_suffix(".git").unwrap_or(path);
    if state.at(bare).is_none() {
        if service == Service::UploadPack {
            return Err(format!("Unable to find project '{bare}'"));
        }
        state.create(bare).map_err(|error| error.to_string())?;
    }
    let project = state.at(bare).ok_or_else(|| format!("Unable to find project '{bare}'"))?;
    let url = format!("http://onedev.invalid/{}#{}", state.path(project.id), project.id);
    Ok(Target { id: project.id, folder: project.folder.clone(), url })
}

/// A project as a git request needs it.
struct Target {
    id: i64,
    folder: PathBuf,
    /// Its page and, behind a `#`, its id.
    url: String,
}

fn find(shared: &Shared, request: &HttpRequest, path: &str, call: GitCall) -> Result<Target, Box<HttpResponse>> {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    let challenge = || {
        HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "BASIC realm=\"OneDev\""))
            .content_type("text/plain")
            .body("Not authenticated")
    };
    let state = lock(&shared.state);
    let principal = Principal::of(&state, &shared.options.onedev_password, header(AUTHORIZATION.as_str()))
        .map_err(|_| refused(Reply::text(401, BAD_CREDENTIALS)))?;
    let bare = path.strip_suffix(".git").unwrap_or(path);
    let pushes = matches!(call, GitCall::Advertise(Service::ReceivePack) | GitCall::Exchange(Service::ReceivePack));
    let found = state.at(bare).map(|it| (it, principal.access(&state, it.id)));
    match found {
        Some((project, access)) if access >= if pushes { Access::Write } else { Access::Read } => Ok(Target {
            id: project.id,
            folder: project.folder.clone(),
            url: format!("http://{}/{}#{}", header("host").unwrap_or_default(), state.path(project.id), project.id),
        }),
        _ if principal == Principal::Anonymous => Err(Box::new(challenge())),
        Some((_, Access::Read)) => Err(refused(Reply::forbidden())),
        _ => Err(refused(Reply::no_project(bare))),
    }
}

/// A reply in a box, which keeps the result of a look-up small.
fn refused(reply: Reply) -> Box<HttpResponse> {
    Box::new(reply.into())
}

/// The slot is free again when the last byte of the answer is out or the client has gone.
fn keeping(output: ByteStream, slot: OwnedSemaphorePermit) -> ByteStream {
    stream::unfold((output, slot), |(mut output, slot)| async move {
        let chunk = output.next().await?;
        Some((chunk, (output, slot)))
    })
    .boxed_local()
}

async fn push(
    shared: &web::Data<Shared>,
    headers: &HeaderMap,
    project: &Target,
    body: ByteStream,
    quirks: &Quirks,
) -> io::Result<ByteStream> {
    let (list, body) = read_list(body).await?;
    let verdict = hooks::understood(list.commands.iter());
    let git = match (&quirks.decline, verdict) {
        (Some(words), _) => shared.git.declining(words),
        (None, Err(_)) if !list.commands.is_empty() => shared.git.declining(CURL_500),
        (None, _) => shared.git.clone(),
    };
    let under_way = shared.pushes.begin(project.id);
    let output = git_http::exchange(&git, &project.folder, Service::ReceivePack, headers, body).await?;
    lock(&shared.state).touch(project.id);
    if list.commands.is_empty() {
        return Ok(output);
    }
    let ending = Ending {
        list,
        folder: project.folder.clone(),
        url: project.url.clone(),
        lose_report: quirks.lose_report,
        splitter: Splitter::default(),
        report: BytesMut::new(),
        _under_way: under_way,
    };
    Ok(stream::unfold((output, Some(ending)), |(mut output, ending)| async move {
        let mut ending = ending?;
        match output.next().await {
            Some(Ok(chunk)) => Some((Ok(ending.pass(&chunk)), (output, Some(ending)))),
            Some(Err(error)) => Some((Err(error), (output, None))),
            None => Some((Ok(ending.finish().await), (output, None))),
        }
    })
    .filter(|chunk| std::future::ready(!chunk.as_ref().is_ok_and(Bytes::is_empty)))
    .boxed_local())
}

/// The head of a push's body.
#[derive(Debug, Default)]
struct List {
    commands: Vec<Command>,
    has_side_band: bool,
}

/// Reads the commands up to their flush; answers them and the whole body again.
async fn read_list(mut body: ByteStream) -> io::Result<(List, ByteStream)> {
    let (mut list, mut splitter) = (List::default(), Splitter::default());
    let mut read = Vec::new();
    let mut length = 0;
    'list: while length < LONGEST_LIST && !splitter.is_broken() {
        let Some(chunk) = body.next().await.transpose()? else { break };
        length += chunk.len();
        splitter.push(&chunk);
        read.push(chunk);
        while let Some(packet) = splitter.next() {
            if packet.is_flush() {
                break 'list;
            }
            list.has_side_band |= has_capability(packet.payload(), "side-band-64k");
            list.commands.extend(Command::parse(packet.payload()));
        }
    }
    let whole = stream::iter(read.into_iter().map(Ok)).chain(body);
    Ok((list, whole.boxed_local()))
}

/// What becomes of receive-pack's output: it passes, save the last flush, before which the
/// post-receive hook has its say.
struct Ending {
    list: List,
    folder: PathBuf,
    url: String,
    lose_report: bool,
    splitter: Splitter,
    report: BytesMut,
    _under_way: UnderWay,
}

impl Ending {
    fn pass(&mut self, chunk: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        self.splitter.push(chunk);
        while let Some(packet) = self.splitter.next() {
            let payload = packet.payload();
            let is_report = if self.list.has_side_band { payload.first() == Some(&1) } else { !packet.is_flush() };
            if is_report {
                let whole = packet.bytes();
                let part = if self.list.has_side_band { payload.get(1..).unwrap_or_default() } else { &whole };
                self.report.extend_from_slice(part);
            }
            let is_held = packet.is_flush() || is_report && self.lose_report;
            if !is_held {
                out.extend_from_slice(&packet.bytes());
            }
        }
        out.freeze()
    }

    async fn finish(self) -> Bytes {
        let Self { list, folder, url, splitter, report, .. } = self;
        let has_side_band = list.has_side_band;
        let said = web::block(move || {
            let ok = accepted(&report).map(HashSet::<String>::from_iter);
            let moved: Vec<_> =
                list.commands.iter().filter(|it| ok.as_ref().is_none_or(|ok| ok.contains(&it.name))).collect();
            hooks::post_receive(&folder, &url, &moved)
        });
        let said = said.await.unwrap_or_default();
        let mut out = BytesMut::new();
        for packet in said.iter().filter(|_| has_side_band) {
            out.extend_from_slice(&packet.bytes());
        }
        out.extend_from_slice(&Packet::flush().bytes());
        out.extend_from_slice(&splitter.rest());
        out.freeze()
    }
}

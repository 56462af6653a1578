//! Git's smart HTTP over a bare repository: the request's body streams into `git upload-pack` or
//! `git receive-pack`, what they print streams out, and neither is ever held whole.
//!
//! The child lives inside the response's stream ([`Exchange`]): when the client leaves, actix drops
//! the stream and the child is killed with it.

use std::io::{self, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::{HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};

use super::process::Git;
use super::streams::{ByteStream, severed};

/// What one read of a child's output may bring: a pipe's whole capacity.
const CHUNK: usize = 64 * 1024;

/// One of the two programs of git's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Gives objects: fetch, clone, `ls-refs`.
    UploadPack,
    /// Takes objects: push.
    ReceivePack,
}

impl Service {
    /// The name in URLs and content types.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|it| it.name() == name)
    }
}

/// Which half of the smart protocol a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GitCall {
    /// `GET info/refs?service=…`.
    Advertise(Service),
    /// `POST git-upload-pack` or `POST git-receive-pack`.
    Exchange(Service),
}

impl GitCall {
    /// Splits `/path/of/repository/info/refs` and its like into the repository's path (no slash in
    /// front, `.git` still on it) and the call. `None` for anything else, the dumb protocol included.
    pub(crate) fn of<'a>(path: &'a str, query: &str) -> Option<(&'a str, Self)> {
        let path = path.strip_prefix('/')?;
        if let Some(repository) = path.strip_suffix("/info/refs") {
            let service = query.split('&').find_map(|it| it.strip_prefix("service="))?;
            return Some((repository, Self::Advertise(Service::of(service)?)));
        }
        let (repository, last) = path.rsplit_once('/')?;
        Some((repository, Self::Exchange(Service::of(last)?)))
    }
}

/// Answers one call on a repository that exists, as a plain git server does.
pub(crate) async fn answer(
    git: &Git,
    repository: &Path,
    call: GitCall,
    headers: &HeaderMap,
    body: ByteStream,
) -> HttpResponse {
    let (service, kind, output) = match call {
        GitCall::Advertise(service) => (service, "advertisement", advertise(git, repository, service, headers).await),
        GitCall::Exchange(service) => (service, "result", exchange(git, repository, service, headers, body).await),
    };
    match output {
        Ok(output) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, format!("application/x-{}-{kind}", service.name())))
            .insert_header((CACHE_CONTROL, "no-cache, max-age=0, must-revalidate"))
            .streaming(output),
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => severed(),
        Err(error) => HttpResponse::InternalServerError().body(format!("git could not run: {error}\n")),
    }
}

/// What `info/refs` brings, the `# service=` line of both protocol versions in front.
pub(crate) async fn advertise(
    git: &Git,
    repository: &Path,
    service: Service,
    headers: &HeaderMap,
) -> io::Result<ByteStream> {
    let line = format!("# service={}\n", service.name());
    let head = Bytes::from(format!("{:04x}{line}0000", line.len() + 4));
    let output = greeting(git, repository, service, protocol_of(headers)).await?;
    Ok(stream::once(async move { Ok(head) }).chain(output).boxed_local())
}

/// What a service says first.
pub(crate) async fn greeting(
    git: &Git,
    repository: &Path,
    service: Service,
    protocol: Option<&str>,
) -> io::Result<ByteStream> {
    let mut command = git.command(&[service.command(), "--stateless-rpc", "--http-backend-info-refs"], repository);
    announce_protocol(&mut command, service, protocol);
    start(&mut command, stream::empty().boxed_local()).await
}

/// A whole conversation, as over SSH: greeting, questions, answers.
pub(crate) async fn conversation(
    git: &Git,
    repository: &Path,
    service: Service,
    protocol: Option<&str>,
    body: ByteStream,
) -> io::Result<ByteStream> {
    let mut command = git.command(&[service.command()], repository);
    announce_protocol(&mut command, service, protocol);
    start(&mut command, body).await
}

/// Runs one stateless request. The answer begins when git has printed something or has ended, so
/// that a request without an answer (a probe of one flush packet) costs no streaming.
pub(crate) async fn exchange(
    git: &Git,
    repository: &Path,
    service: Service,
    headers: &HeaderMap,
    body: ByteStream,
) -> io::Result<ByteStream> {
    let mut command = git.command(&[service.command(), "--stateless-rpc"], repository);
    announce_protocol(&mut command, service, protocol_of(headers));
    start(&mut command, body).await
}

fn protocol_of(headers: &HeaderMap) -> Option<&str> {
    headers.get("git-protocol").and_then(|it| it.to_str().ok())
}

/// receive-pack speaks no version 2 and must not be told of one.
fn announce_protocol(command: &mut tokio::process::Command, service: Service, protocol: Option<&str>) {
    if let (Service::UploadPack, Some(protocol)) = (service, protocol) {
        command.env("GIT_PROTOCOL", protocol);
    }
}

/// The request's body as it left the client: gzip undone.
pub(crate) fn request_body(headers: &HeaderMap, payload: web::Payload) -> ByteStream {
    // A body that breaks off means that the client has gone: there is nobody to answer.
    let raw =
        payload.map(|chunk| chunk.map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error.to_string())));
    let encoding = headers.get(CONTENT_ENCODING).and_then(|it| it.to_str().ok());
    if matches!(encoding, Some("gzip" | "x-gzip")) { gunzip(raw.boxed_local()) } else { raw.boxed_local() }
}

fn gunzip(raw: ByteStream) -> ByteStream {
    let mut decoder = flate2::write::GzDecoder::new(Vec::with_capacity(CHUNK));
    raw.map(move |chunk| {
        decoder.write_all(&chunk?)?;
        decoder.flush()?;
        Ok(Bytes::from(std::mem::take(decoder.get_mut())))
    })
    .boxed_local()
}

async fn start(command: &mut tokio::process::Command, body: ByteStream) -> io::Result<ByteStream> {
    let mut child = command.spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let end = Box::pin(async move { child.wait().await.map(drop) });
    let mut exchange =
        Exchange { pump: Some(Box::pin(pump(stdin, body))), stdout: Some(stdout), end, buffer: BytesMut::new() };
    let first = exchange.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(exchange).boxed_local())
}

/// A running child with the request's body on its way in. Yields what the child prints; the end
/// comes after the child's own. Dropping it kills the child.
struct Exchange {
    pump: Option<LocalBoxFuture<'static, io::Result<()>>>,
    stdout: Option<ChildStdout>,
    end: LocalBoxFuture<'static, io::Result<()>>,
    buffer: BytesMut,
}

impl Stream for Exchange {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(pump) = &mut this.pump
            && let Poll::Ready(result) = pump.as_mut().poll(cx)
        {
            this.pump = None;
            if let Err(error) = result {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(stdout) = &mut this.stdout {
            if this.buffer.capacity() < CHUNK / 4 {
                this.buffer.reserve(CHUNK);
            }
            if ready!(tokio_util::io::poll_read_buf(Pin::new(stdout), cx, &mut this.buffer))? > 0 {
                return Poll::Ready(Some(Ok(this.buffer.split().freeze())));
            }
            this.stdout = None;
        }
        ready!(this.end.as_mut().poll(cx))?;
        this.end = Box::pin(std::future::ready(Ok(())));
        Poll::Ready(None)
    }
}

/// Body to child. A child that ended early has said why on its output, so the rest of the body is
/// read and thrown away; a body that breaks is an error, and the child dies of it.
async fn pump(stdin: ChildStdin, mut body: ByteStream) -> io::Result<()> {
    let mut stdin = Some(stdin);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if let Some(pipe) = &mut stdin
            && pipe.write_all(&chunk).await.is_err()
        {
            stdin = None;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_into_repository_and_call() {
        let refs = GitCall::of("/a/b.git/info/refs", "service=git-upload-pack");
        assert_eq!(refs, Some(("a/b.git", GitCall::Advertise(Service::UploadPack))));
        let push = GitCall::of("/a/git-receive-pack", "");
        assert_eq!(push, Some(("a", GitCall::Exchange(Service::ReceivePack))));
        assert_eq!(GitCall::of("/a/b.git/info/refs", ""), None);
        assert_eq!(GitCall::of("/a/b.git/HEAD", ""), None);
    }
}

//! A plain git server: every bare repository below a folder, by smart HTTP on loopback.
//!
//! For tests and benchmarks of the wire that need neither GitHub's nor OneDev's manners.

use std::io;
use std::path::{Path, PathBuf};

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};

use super::git_http::{self, GitCall};
use super::process::Git;
use super::server::ServerThread;

/// Serves `<root>/<path>` and `<root>/<path>.git` at `<base_url>/<path>[.git]`, reading and writing,
/// without credentials. Stops when dropped.
#[derive(Debug)]
pub struct GitServer {
    base_url: String,
    _thread: ServerThread,
}

#[derive(Clone)]
struct Folder {
    root: PathBuf,
    git: Git,
}

impl GitServer {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// When no port or thread is to be had.
    pub fn start(root: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = Folder { root: root.into(), git: Git::new(&[("uploadpack.allowFilter", "true")]) };
        let thread = ServerThread::start(2, move |config| {
            config.app_data(web::Data::new(folder.clone())).default_service(web::to(serve));
        })?;
        Ok(Self { base_url: format!("http://{}", thread.address()), _thread: thread })
    }

    /// `http://127.0.0.1:PORT`, no slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The address of a repository.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url)
    }
}

async fn serve(request: HttpRequest, folder: web::Data<Folder>, payload: web::Payload) -> HttpResponse {
    let Some((path, call)) = GitCall::of(request.uri().path(), request.query_string()) else {
        return HttpResponse::NotFound().body("not found\n");
    };
    let wanted = match call {
        GitCall::Advertise(_) => Method::GET,
        GitCall::Exchange(_) => Method::POST,
    };
    if request.method() != wanted {
        return HttpResponse::MethodNotAllowed().finish();
    }
    let Some(repository) = find(&folder.root, path) else {
        return HttpResponse::NotFound().body("repository not found\n");
    };
    let body = git_http::request_body(request.headers(), payload);
    git_http::answer(&folder.git, &repository, call, request.headers(), body).await
}

/// The repository at a path, which may not leave the root.
fn find(root: &Path, path: &str) -> Option<PathBuf> {
    if path.split('/').any(|part| part.is_empty() || part.starts_with("..") || part == ".") {
        return None;
    }
    let bare = path.strip_suffix(".git").unwrap_or(path);
    [root.join(bare), root.join(format!("{bare}.git"))].into_iter().find(|it| it.join("HEAD").is_file())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::simulator::testing::{Client, git_in};

    fn server() -> (TempDir, GitServer) {
        let root = TempDir::new().unwrap();
        assert!(git_in(root.path(), &["init", "-q", "--bare", "a/one.git"]).ok);
        let server = GitServer::start(root.path()).unwrap();
        (root, server)
    }

    #[test]
    fn what_is_pushed_is_cloned_again_in_every_protocol_version() {
        let (root, server) = server();
        let client = Client::new();
        let tip = client.commit("big", &"0123456789abcdef".repeat(200_000));
        client.done(&["push", "-q", &server.url("a/one"), "trunk"]);
        for version in ["0", "1", "2"] {
            let protocol = format!("protocol.version={version}");
            let refs = client.done(&["-c", &protocol, "ls-remote", &server.url("a/one.git"), "refs/heads/trunk"]);
            assert_eq!(refs, format!("{tip}\trefs/heads/trunk"));
            let copy = format!("copy{version}");
            assert!(git_in(root.path(), &["-c", &protocol, "clone", "-q", &server.url("a/one"), &copy]).ok);
        }
        let partial = git_in(root.path(), &["clone", "-q", "--bare", "--filter=blob:none", &server.url("a/one"), "p"]);
        assert!(partial.ok && partial.err.is_empty(), "{}", partial.err);
    }

    #[test]
    fn a_chunked_push_and_a_gzipped_fetch_pass() {
        let (root, server) = server();
        let client = Client::new();
        for number in 0..25 {
            client.commit("file", &format!("{number}"));
            client.done(&["branch", &format!("b{number}")]);
        }
        let url = server.url("a/one");
        client.done(&["-c", "http.postBuffer=1000", "push", "-q", &url, "refs/heads/*"]);
        assert!(git_in(root.path(), &["clone", "-q", "--mirror", &url, "copy.git"]).ok);
        for number in 25..50 {
            client.commit("file", &format!("{number}"));
            client.done(&["branch", &format!("b{number}")]);
        }
        client.done(&["push", "-q", &url, "refs/heads/*"]);
        // Over 1,024 bytes of wants and haves: the client sends them gzipped.
        assert!(git_in(&root.path().join("copy.git"), &["fetch", "-q"]).ok);
        let refs = git_in(&root.path().join("copy.git"), &["for-each-ref"]).out;
        assert_eq!(refs.lines().count(), 51);
    }

    #[test]
    fn what_is_no_repository_below_the_root_is_not_found() {
        let (_root, server) = server();
        let client = Client::new();
        for path in ["a/none", "a", "a/one.git/objects"] {
            assert!(!client.git(&["ls-remote", &server.url(path)]).ok, "{path}");
        }
        assert_eq!(find(Path::new("/tmp"), "a/../../etc"), None);
    }
}

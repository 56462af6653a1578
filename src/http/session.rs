//! Sessions of the dashboard: a secret in a cookie that no script can read and no other site can send, and beside it,
//! for every call that changes something, a token that only our own page knows.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::HOST;
use actix_web::{HttpMessage as _, HttpRequest};
use chrono::Utc;
use url::Url;

use super::auth::Presented;
use super::problem::Problem;
use super::shared::Shared;
use crate::domain::session::Ticket;
use crate::store::sessions::{self, Opener, Session};

/// Where it is opened, shown and ended.
pub(super) const PATH: &str = "/session";
/// The header with the token that only our own page knows.
pub(super) const CSRF: &str = "x-csrf-token";

const NAME: &str = "starkeep_session";
/// Browsers take a cookie of such a name over TLS only, and from this very host.
const SECURE_NAME: &str = "__Host-starkeep_session";

/// How the cookie is called and kept.
#[derive(Debug, Clone)]
pub(super) struct Cookies {
    /// Whom browsers reach over TLS; nobody without a public address of that kind.
    secure_host: Option<String>,
}

impl Cookies {
    /// For a service that browsers reach there.
    pub(super) fn of(public_url: Option<&Url>) -> Self {
        let public = public_url.filter(|it| it.scheme() == "https");
        Self { secure_host: public.map(|it| it.authority().to_ascii_lowercase()) }
    }

    /// Whether a browser that sent this is at the public address. It may be at another one too, as through a tunnel,
    /// where it would keep no cookie of TLS.
    fn is_secure(&self, request: &HttpRequest) -> bool {
        let host = request.headers().get(HOST).and_then(|it| it.to_str().ok()).map(str::to_ascii_lowercase);
        self.secure_host.is_some() && self.secure_host == host
    }

    /// What a request came with.
    pub(super) fn presented(&self, request: &HttpRequest) -> Option<Ticket> {
        let name = if self.is_secure(request) { SECURE_NAME } else { NAME };
        Ticket::parse(request.cookie(name)?.value())
    }

    /// The cookie of a session.
    pub(super) fn given(&self, request: &HttpRequest, ticket: &Ticket) -> Cookie<'static> {
        let age = Duration::seconds(sessions::LIFETIME.num_seconds());
        self.cookie(request, ticket.expose().to_owned(), age)
    }

    /// What makes a browser forget it.
    pub(super) fn taken_back(&self, request: &HttpRequest) -> Cookie<'static> {
        self.cookie(request, String::new(), Duration::ZERO)
    }

    fn cookie(&self, request: &HttpRequest, value: String, age: Duration) -> Cookie<'static> {
        let is_secure = self.is_secure(request);
        Cookie::build(if is_secure { SECURE_NAME } else { NAME }, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(is_secure)
            .max_age(age)
            .finish()
    }
}

/// The session of a ticket, for this request.
///
/// # Errors
/// 401 when it is over, or what it was opened with is; 403 when the request would change something and lacks the
/// token.
pub(super) async fn resume(shared: &Shared, request: &HttpRequest, ticket: &Ticket) -> Result<Session, Problem> {
    let id = ticket.id();
    let session = shared.store.read(move |c| sessions::find(c, &id, Utc::now())).await?;
    let session = session.filter(|it| is_backed(shared, ticket, &it.opener)).ok_or_else(over)?;
    request.extensions_mut().insert(Presented(session.actor.clone()));
    let token = request.headers().get(CSRF).map(|it| it.as_bytes()).unwrap_or_default();
    if request.method().is_safe() || ticket.is_csrf_token(token) {
        return Ok(session);
    }
    let detail =
        "a call that changes something by a session needs the header `X-CSRF-Token`, as `GET /session` gives it";
    Err(Problem::forbidden("csrf_token_wrong", detail))
}

/// Whether what a session was opened with still opens. Of keys the row has told.
fn is_backed(shared: &Shared, ticket: &Ticket, opener: &Opener) -> bool {
    match opener {
        Opener::Key(_) => true,
        Opener::Issuer => shared.door.issuer.is_some(),
        Opener::AdminToken(seal) => {
            let token = shared.secrets.borrow().admin.clone();
            token.is_some_and(|it| ticket.seal_of_admin_token(&it) == *seal)
        }
    }
}

/// There is no session.
pub(super) fn over() -> Problem {
    Problem::unauthorized("session_over", "there is no session, or it is over; sign in")
}

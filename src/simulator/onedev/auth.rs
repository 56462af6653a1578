//! Who calls the simulated OneDev, and what a caller may do with a project.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::reply::Reply;
use super::state::State;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Principal {
    /// Nobody in particular.
    Anonymous,
    /// The user `admin`, by password or by a token with all its rights.
    Admin,
    /// A token that may do what it was authorized for; it is no user.
    Scoped(i64),
}

/// What a principal may do with a project, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    None,
    Read,
    Write,
    Manage,
}

/// The role that manages a project, creates children and gives roles.
pub(crate) const OWNER: i64 = 1;

/// The words for a header that is worth nothing.
pub(crate) const BAD_CREDENTIALS: &str = "Invalid account or incorrect credentials";

impl Principal {
    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// 401 for one that is worth nothing.
    pub(crate) fn of(state: &State, password: &str, header: Option<&str>) -> Result<Self, Reply> {
        let Some(header) = header else { return Ok(Self::Anonymous) };
        let bad = || Reply::text(401, BAD_CREDENTIALS);
        let (scheme, rest) = header.split_once(' ').ok_or_else(bad)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::of_token(state, rest.trim()).ok_or_else(bad);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(bad());
        }
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|it| String::from_utf8(it).ok()).ok_or_else(bad)?;
        let (user, secret) = decoded.split_once(':').ok_or_else(bad)?;
        // A token may be either half; the other one is not looked at.
        let by_token = [user, secret].into_iter().find_map(|it| Self::of_token(state, it));
        let by_password = (user == "admin" && secret == password).then_some(Self::Admin);
        by_token.or(by_password).ok_or_else(bad)
    }

    fn of_token(state: &State, value: &str) -> Option<Self> {
        let (id, token) = state.tokens.rows.iter().find(|(_, it)| it.value == value)?;
        Some(if token.owner_permissions { Self::Admin } else { Self::Scoped(*id) })
    }

    /// What it may do with a project.
    pub(crate) fn access(self, state: &State, project: i64) -> Access {
        let granted = |role: i64| match role {
            OWNER => Access::Manage,
            3 => Access::Write,
            _ => Access::Read,
        };
        let above = |it: i64| state.lineage(project).any(|project| project.id == it);
        match self {
            Self::Admin => Access::Manage,
            Self::Scoped(token) => {
                let grants = state.token_grants.rows.values();
                let mine = grants.filter(|it| it.holder == token && above(it.project));
                mine.map(|it| granted(it.role)).max().unwrap_or(Access::None)
            }
            Self::Anonymous => {
                let open = state.security.get("enableAnonymousAccess") == Some(&serde_json::Value::Bool(true));
                let grants = state.base_grants.rows.values();
                let mine = grants.filter(|it| open && above(it.project));
                mine.map(|it| granted(it.role).min(Access::Read)).max().unwrap_or(Access::None)
            }
        }
    }
}

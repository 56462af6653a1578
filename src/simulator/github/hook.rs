//! The simulated App: installations on accounts, the list of what was delivered to its webhook, and GitHub's clock.

use std::collections::{BTreeMap, HashMap};

use actix_web::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::rest::Answer;
use super::state::State;
use super::webhooks::Delivery;
use super::{GithubSimulator, app, json};
use crate::domain::ids::AccountId;
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;

/// Deliveries a page, whatever is asked for.
const LARGEST_PAGE: usize = 100;

/// An installation on one account.
#[derive(Debug, Clone)]
struct Installed {
    account: AccountId,
    suspended_at: Option<DateTime<Utc>>,
}

/// An attempt to deliver.
#[derive(Debug, Clone)]
struct Attempt {
    delivery: Delivery,
    status: u16,
    at: DateTime<Utc>,
}

/// What GitHub knows of the App.
#[derive(Debug, Default)]
pub(crate) struct AppState {
    installations: BTreeMap<i64, Installed>,
    /// Which installation a token is of.
    tokens: HashMap<String, i64>,
    attempts: Vec<Attempt>,
    page: Option<usize>,
    /// How far GitHub's clock is ahead of this machine's.
    ahead: TimeDelta,
}

impl AppState {
    /// What time it is at GitHub.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    /// The `Date` header, where it is not this machine's time.
    pub(crate) fn date(&self) -> Option<String> {
        (!self.ahead.is_zero()).then(|| self.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    pub(crate) fn minted(&mut self, token: &str, installation: i64) {
        self.tokens.insert(token.to_owned(), installation);
    }

    /// Whose repositories an installation's token shows, if the installation is on one account.
    pub(crate) fn account_of(&self, token: &str) -> Option<AccountId> {
        self.installations.get(self.tokens.get(token)?).map(|it| it.account)
    }

    pub(crate) fn is_suspended(&self, token: &str) -> bool {
        let of = self.tokens.get(token).and_then(|it| self.installations.get(it));
        of.is_some_and(|it| it.suspended_at.is_some())
    }
}

/// The list of installations; `None` where none was made.
pub(super) fn installations(state: &State) -> Option<Value> {
    let all = &state.app.installations;
    (!all.is_empty()).then(|| all.iter().map(|(id, it)| installation(state, *id, it)).collect())
}

fn installation(state: &State, id: i64, it: &Installed) -> Value {
    json!({
        "id": id,
        "account": json::account(state, it.account, ""),
        "repository_selection": "all",
        "permissions": app::permissions(),
        "suspended_at": it.suspended_at.map(json::time),
    })
}

/// Whether an installation gets a token; `default` is the one that is there while none was made.
pub(super) fn may_mint(state: &State, id: i64, default: i64) -> Result<(), Answer> {
    match state.app.installations.get(&id) {
        Some(it) if it.suspended_at.is_some() => {
            Err(Answer::error(StatusCode::FORBIDDEN, "This installation has been suspended"))
        }
        Some(_) => Ok(()),
        None if state.app.installations.is_empty() && id == default => Ok(()),
        None => Err(Answer::not_found()),
    }
}

/// `GET /app/hook/deliveries`: the newest first; the cursor names the last attempt of the page before.
pub(super) fn list(state: &State, query: &str, base: &str) -> Answer {
    let parameter = |name: &str| query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    let size = state.app.page.unwrap_or(LARGEST_PAGE);
    let before = match parameter("cursor").map(|it| it.strip_prefix("v1_").and_then(|it| it.parse::<usize>().ok())) {
        Some(None) => return Answer::error(StatusCode::UNPROCESSABLE_ENTITY, "Invalid cursor"),
        Some(Some(before)) => before,
        None => usize::MAX,
    };
    let page: Vec<_> = state.app.attempts.iter().enumerate().filter(|(n, _)| *n < before).rev().take(size).collect();
    let last = page.last().map(|(n, _)| *n).filter(|n| *n > 0);
    let link = last.map(|n| format!("<{base}/app/hook/deliveries?per_page={size}&cursor=v1_{n}>; rel=\"next\""));
    let entries = page.into_iter().map(|(n, it)| entry(n, it)).collect();
    Answer { link, ..Answer::ok(Value::Array(entries)) }
}

fn entry(n: usize, it: &Attempt) -> Value {
    let payload: Value = serde_json::from_slice(&it.delivery.body).unwrap_or_default();
    json!({
        "id": n + 1,
        "guid": it.delivery.guid,
        "delivered_at": json::time(it.at),
        "redelivery": false,
        "duration": 0.2,
        "status": if it.status < 300 { "OK" } else { "Service unavailable" },
        "status_code": it.status,
        "event": it.delivery.event,
        "action": payload.get("action"),
        "installation_id": payload.pointer("/installation/id"),
        "repository_id": payload.pointer("/repository/id"),
    })
}

/// `GET /app/hook/deliveries/{id}`: with what was sent.
pub(super) fn show(state: &State, id: usize) -> Answer {
    let Some((n, it)) = id.checked_sub(1).and_then(|n| Some((n, state.app.attempts.get(n)?))) else {
        return Answer::not_found();
    };
    let payload: Value = serde_json::from_slice(&it.delivery.body).unwrap_or_default();
    let mut body = entry(n, it);
    if let Value::Object(fields) = &mut body {
        let request = json!({ "headers": { "X-GitHub-Delivery": it.delivery.guid }, "payload": payload });
        fields.insert("request".to_owned(), request);
        fields.insert("response".to_owned(), json!({ "headers": {}, "payload": null }));
    }
    Answer::ok(body)
}

impl GithubSimulator {
    /// GitHub has tried to deliver this, and was answered so: it stands in the App's list from now on.
    pub fn attempted(&self, delivery: &Delivery, status: u16) {
        self.attempted_at(delivery, status, Utc::now());
    }

    /// The same at another time. Attempts are to be made in order.
    pub fn attempted_at(&self, delivery: &Delivery, status: u16, at: DateTime<Utc>) {
        let attempt = Attempt { delivery: delivery.clone(), status, at };
        lock(&self.shared.state).app.attempts.push(attempt);
    }

    /// The list of deliveries shows at most so many a page.
    pub fn set_delivery_page(&self, most: usize) {
        lock(&self.shared.state).app.page = Some(most);
    }

    /// GitHub's clock is so far ahead of this machine's.
    pub fn set_clock_ahead(&self, ahead: TimeDelta) {
        lock(&self.shared.state).app.ahead = ahead;
    }

    /// Installs the App on an account, which is made if it is new; gives the installation's id and GitHub's delivery.
    ///
    /// # Errors
    /// None as yet.
    pub fn install(&self, login: &str) -> Result<(i64, Delivery), SimulatorError> {
        let id = {
            let mut state = lock(&self.shared.state);
            let (account, id) = (state.ensure_account(login), state.fresh_id());
            state.app.installations.insert(id, Installed { account, suspended_at: None });
            id
        };
        Ok((id, self.tell(id, "installation", "created")?))
    }

    /// The installation gets no tokens any more, and those it has are refused.
    ///
    /// # Errors
    /// When there is no such installation.
    pub fn suspend(&self, id: i64) -> Result<Delivery, SimulatorError> {
        if let Some(it) = lock(&self.shared.state).app.installations.get_mut(&id) {
            it.suspended_at = Some(Utc::now());
        }
        self.tell(id, "installation", "suspend")
    }

    /// The installation goes on.
    ///
    /// # Errors
    /// When there is no such installation.
    pub fn unsuspend(&self, id: i64) -> Result<Delivery, SimulatorError> {
        if let Some(it) = lock(&self.shared.state).app.installations.get_mut(&id) {
            it.suspended_at = None;
        }
        self.tell(id, "installation", "unsuspend")
    }

    /// The App is removed from the account; its tokens are worthless.
    ///
    /// # Errors
    /// When there is no such installation.
    pub fn uninstall(&self, id: i64) -> Result<Delivery, SimulatorError> {
        let told = self.tell(id, "installation", "deleted")?;
        let mut state = lock(&self.shared.state);
        state.app.installations.remove(&id);
        let State { app, tokens, .. } = &mut *state;
        tokens.retain(|it| app.tokens.get(it) != Some(&id));
        Ok(told)
    }

    /// GitHub's delivery about an installation as it is now.
    ///
    /// # Errors
    /// When there is no such installation.
    pub fn tell(&self, id: i64, event: &str, action: &str) -> Result<Delivery, SimulatorError> {
        let (login, body) = {
            let state = lock(&self.shared.state);
            let it = state.app.installations.get(&id);
            let it = it.ok_or_else(|| SimulatorError::Unknown(format!("installation {id}")))?;
            (state.login(it.account).to_owned(), installation(&state, id, it))
        };
        let account = body.get("account").cloned();
        let fields = json!({ "action": action, "account": account });
        let general = self.delivery(event, &login, None, fields)?;
        let mut payload: Value = serde_json::from_slice(&general.body).unwrap_or_default();
        if let Value::Object(fields) = &mut payload {
            fields.insert("installation".to_owned(), body);
        }
        Ok(Delivery::new(event, &payload, &self.shared.options.webhook_secret))
    }
}

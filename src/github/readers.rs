//! Reading with several credentials: in what order they are asked, and what their answers mean together.

use chrono::TimeDelta;
use url::Url;

use super::app::{App, LIST_REST};
use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Answer, Pass, Principal, Terms};
use super::token::Token;
use super::upstreams::Asked;
use crate::domain::ids::GithubId;
use crate::domain::installation::Installation;
use crate::domain::rate::Resource;
use crate::domain::repository::RepositoryName;

/// Credentials that are asked for one repository.
const MAX_TRIED: usize = 20;
/// Two allowances are told apart by tenths, so that requests keep to one credential for a while: an `ETag`
/// belongs to the credential that it was told.
const TENTHS: u32 = 10;

/// What is known of the asked-for thing before the first request.
#[derive(Clone, Copy)]
pub(super) enum Hint<'a> {
    /// With its owner, as far as that is known.
    Id(GithubId, Option<&'a str>),
    Name(&'a RepositoryName),
    Owner(&'a str),
}

impl<'a> Hint<'a> {
    pub(super) fn owner(self) -> Option<&'a str> {
        match self {
            Self::Id(_, owner) => owner,
            Self::Name(name) => Some(name.owner()),
            Self::Owner(owner) => Some(owner),
        }
    }
}

impl GithubClient {
    /// Who may be asked, the likeliest first. Nobody is asked without a credential while there is one, and a
    /// token that GitHub refused only when there is no other.
    pub(super) async fn readers(
        &self,
        hint: Hint<'_>,
        resource: Resource,
        life: Option<TimeDelta>,
    ) -> Result<Vec<Principal>, GithubError> {
        let all = &self.inner.credentials;
        let installations = self.installations(life).await?;
        let is_there = |it: &Principal| match it {
            Principal::Installation(id) => installations.iter().any(|known| known.id.0 == *id),
            Principal::Token(token) => !all.is_set_aside(*token, self.now()),
            _ => true,
        };
        let seen_by = match hint {
            Hint::Id(id, _) => all.remembered(id).flatten(),
            Hint::Name(name) => all.remembered_named(name),
            Hint::Owner(_) => None,
        };
        let own = installations.iter().find(|it| hint.owner().is_some_and(|owner| it.is_of(owner)));
        let tokens = self.live_tokens(resource);
        let mut readers: Vec<Principal> = seen_by.into_iter().filter(is_there).collect();
        let rest = own.into_iter().map(|it| Principal::Installation(it.id.0)).chain(tokens);
        let rest = rest.chain(installations.iter().map(|it| Principal::Installation(it.id.0)));
        for reader in rest {
            if !readers.contains(&reader) {
                readers.push(reader);
            }
        }
        if readers.is_empty() {
            readers.extend((0..all.tokens.len()).map(Principal::Token));
        }
        if readers.is_empty() {
            readers.push(Principal::Anonymous);
        }
        Ok(readers)
    }

    /// The App's installations. Beside tokens an App that cannot be asked is no reason to stop.
    async fn installations(&self, life: Option<TimeDelta>) -> Result<Vec<Installation>, GithubError> {
        let all = &self.inner.credentials;
        let Some(app) = &all.app else { return Ok(Vec::new()) };
        match app.installations(self.exchange(), life).await {
            Ok(found) => Ok(found.to_vec()),
            Err(_) if !all.tokens.is_empty() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Tokens that GitHub takes, the one with most of its allowance left first, in the order of the
    /// configuration where that is about the same.
    fn live_tokens(&self, resource: Resource) -> Vec<Principal> {
        let (all, governors, now) = (&self.inner.credentials, self.exchange().governors(), self.now());
        let live = (0..all.tokens.len()).filter(|it| !all.is_set_aside(*it, now)).map(Principal::Token);
        let mut tokens: Vec<Principal> = live.collect();
        tokens.sort_by_key(|it| std::cmp::Reverse(governors.share_left(*it, resource, TENTHS, now)));
        tokens
    }

    /// The credential of one who may be asked.
    pub(super) async fn pass_of(&self, reader: Principal) -> Result<Pass, GithubError> {
        let all = &self.inner.credentials;
        match (reader, &all.app) {
            (Principal::Token(token), _) => match all.tokens.get(token) {
                Some(it) => self.bearer(reader, &it.secret()),
                None => Ok(self.anonymous()),
            },
            (Principal::Installation(installation), Some(app)) => {
                let token = app.token(self.exchange(), installation).await?;
                self.bearer(reader, &token.secret)
            }
            _ => Ok(self.anonymous()),
        }
    }

    /// One request with one credential; what GitHub makes of the credential is remembered.
    pub(super) async fn get_as(&self, reader: Principal, url: Url, terms: Terms<'_>) -> Result<Answer, GithubError> {
        if let (Principal::Installation(installation), Some(app)) = (reader, &self.inner.credentials.app) {
            return self.read_as(app, installation, url, terms).await;
        }
        let answer = self.exchange().get_on(url, &self.pass_of(reader).await?, terms).await;
        self.note(reader, answer.as_ref().err());
        answer
    }

    /// Remembers whether GitHub took a token.
    pub(super) fn note(&self, reader: Principal, error: Option<&GithubError>) {
        let Principal::Token(token) = reader else { return };
        match error {
            None | Some(GithubError::NotFound) => self.inner.credentials.taken(token),
            Some(GithubError::Unauthorized(_)) => self.inner.credentials.set_aside(token, self.now()),
            Some(_) => {}
        }
    }

    /// Asks one credential after the other, the likeliest first: what one of them does not see another may,
    /// and one that is used up or refused does not stop the others. Also says whether the first one was told.
    pub(super) async fn seek(
        &self,
        hint: Hint<'_>,
        url: &Url,
        terms: Terms<'_>,
    ) -> Result<(Principal, bool, Answer), GithubError> {
        let mut tried: Vec<Principal> = Vec::new();
        let mut open: Option<GithubError> = None;
        let lives: &[Option<TimeDelta>] =
            if self.inner.credentials.app.is_some() { &[None, Some(LIST_REST)] } else { &[None] };
        for life in lives {
            for reader in self.readers(hint, terms.resource, *life).await? {
                if tried.contains(&reader) || tried.len() >= MAX_TRIED {
                    continue;
                }
                tried.push(reader);
                match self.get_as(reader, url.clone(), terms).await {
                    Ok(answer) => return Ok((reader, tried.len() == 1, answer)),
                    Err(GithubError::NotFound) => {}
                    // Who cannot be asked leaves open whether it is there.
                    Err(error) if leaves_open(reader, &error) => open = Some(worse(open, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(open.or_else(|| self.untold(&tried)).unwrap_or(GithubError::NotFound))
    }

    /// A token that was not asked since GitHub refuses it: it may have been the one that sees it.
    fn untold(&self, tried: &[Principal]) -> Option<GithubError> {
        let all = &self.inner.credentials;
        let aside = |it: &usize| all.is_set_aside(*it, self.now()) && !tried.contains(&Principal::Token(*it));
        let key = &all.tokens.get((0..all.tokens.len()).find(aside)?)?.key;
        Some(GithubError::Unauthorized(format!("{key}; the others are not shown this repository")))
    }

    /// Who reads things below a repository: the one that showed it, found anew if nobody knows.
    pub(super) async fn reader_below(&self, id: GithubId) -> Result<Principal, GithubError> {
        let all = &self.inner.credentials;
        let several = all.app.is_some() || all.tokens.len() > 1;
        if several && all.remembered(id).is_none() {
            self.repository(id).await?;
        }
        let readers = self.readers(Hint::Id(id, None), Resource::Core, None).await?;
        Ok(readers.first().copied().unwrap_or(Principal::Anonymous))
    }

    /// Parts repositories by who is asked about them; each with its places in `asked`.
    pub(super) async fn by_reader(&self, asked: &[Asked]) -> Result<Vec<(Principal, Vec<usize>)>, GithubError> {
        let mut parts: Vec<(Principal, Vec<usize>)> = Vec::new();
        let common = self.readers(Hint::Owner(""), Resource::Graphql, None).await?;
        let common = common.first().copied().unwrap_or(Principal::Anonymous);
        let installations = self.installations(None).await?;
        for (place, it) in asked.iter().enumerate() {
            let seen_by = self.inner.credentials.remembered(it.id).flatten();
            let own = || installations.iter().find(|known| known.is_of(it.name.owner()));
            let reader = seen_by.or_else(|| own().map(|it| Principal::Installation(it.id.0))).unwrap_or(common);
            match parts.iter_mut().find(|(known, _)| *known == reader) {
                Some((_, places)) => places.push(place),
                None => parts.push((reader, vec![place])),
            }
        }
        Ok(parts)
    }

    /// One request with an installation's token; one that GitHub refuses is replaced once.
    pub(super) async fn read_as(
        &self,
        app: &App,
        installation: i64,
        url: Url,
        terms: Terms<'_>,
    ) -> Result<Answer, GithubError> {
        let exchange = self.exchange();
        let pass = |token: &Token| self.bearer(Principal::Installation(installation), &token.secret);
        let token = app.token(exchange, installation).await?;
        match exchange.get_on(url.clone(), &pass(&token)?, terms).await {
            Err(GithubError::Unauthorized(_)) => {
                app.forget(installation, &token).await;
                let token = app.token(exchange, installation).await?;
                exchange.get_on(url, &pass(&token)?, terms).await
            }
            Err(GithubError::Forbidden(text)) if text.contains("suspended") => {
                app.doubt().await;
                app.forget_any(installation);
                Err(GithubError::App(format!("its installation is suspended ({text})")))
            }
            other => other,
        }
    }
}

impl GithubClient {
    /// Whether a failure to tell of one repository says nothing of the others, whose turn may come at once.
    pub fn is_about_one(&self, error: &GithubError) -> bool {
        match error {
            GithubError::Forbidden(_)
            | GithubError::Suspended(_)
            | GithubError::Rejected { .. }
            | GithubError::RedirectElsewhere(_)
            | GithubError::Malformed(_)
            | GithubError::Server { after: None, .. } => true,
            // Another one is not shown it, and the one that may be is refused.
            GithubError::Unauthorized(_) => self.inner.credentials.any_live(self.now()),
            _ => error.is_gone(),
        }
    }
}

/// Whether another credential may still tell.
fn leaves_open(reader: Principal, error: &GithubError) -> bool {
    match error {
        GithubError::App(_) => true,
        GithubError::RateLimited { .. } => reader != Principal::Anonymous,
        GithubError::Unauthorized(_) => matches!(reader, Principal::Token(_)),
        _ => false,
    }
}

/// Of two failures the one that is told: a limit passes, so it is tried again after that.
fn worse(known: Option<GithubError>, next: GithubError) -> GithubError {
    match (known, next) {
        (Some(GithubError::RateLimited { after: a }), GithubError::RateLimited { after: b }) => {
            GithubError::RateLimited { after: a.min(b) }
        }
        (Some(known @ GithubError::RateLimited { .. }), _) => known,
        (_, next @ GithubError::RateLimited { .. }) => next,
        (Some(known), _) => known,
        (None, next) => next,
    }
}

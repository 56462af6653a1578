//! The server that is mirrored: what refs it has, and packs of its objects.
//!
//! Protocol v2 is spoken straight away, without asking first what the server can do; only when the
//! answer does not look like it is `info/refs` read, and with it the old protocol if need be.

use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use url::Url;

use super::body::Body;
use super::capabilities::Capabilities;
use super::error::{Side, WireError};
use super::fetch::{self, FetchOptions};
use super::listing::{Advertisement, InfoRefs, Version, read_info_refs, read_ls_refs};
use super::pack::Pack;
use super::pktline::{FrameError, put, put_delimiter, put_flush};
use super::remote::{AGENT, Address, Connections, Patience, Remote, Service};
use crate::domain::refs::Oid;
use crate::telemetry::metrics::Metrics;

/// What is known of the server by now.
#[derive(Debug, Clone, Default)]
enum Dialect {
    /// Nothing: v2 is tried.
    #[default]
    Untried,
    /// v2, what it offers in particular is not known.
    Two,
    /// v2, and what it offers.
    TwoOffering(Capabilities),
    /// The old protocol.
    Old { capabilities: Capabilities, shallow: bool },
}

/// A repository that is read.
#[derive(Debug)]
pub struct Upstream {
    remote: Remote,
    dialect: Mutex<Dialect>,
}

impl Upstream {
    /// Makes no request.
    ///
    /// # Errors
    /// [`WireError::BadRequest`] for an address with a password or one that is not http(s) or ssh, for
    /// an ssh address whose server has no key, and for a credential that does not fit in a header.
    pub fn new(
        connections: impl Into<Connections>,
        address: Address,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        Self::on(Side::Upstream, &connections.into(), address, metrics, patience)
    }

    /// A mirror's project, read back: its errors are told as OneDev's. Each list and each pack takes one
    /// of OneDev's few places.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_project(
        connections: impl Into<Connections>,
        address: Address,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        Self::on(Side::Target, &connections.into(), address, metrics, patience)
    }

    fn on(
        side: Side,
        connections: &Connections,
        address: Address,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        let remote = Remote::new(connections, address, side, metrics, patience)?;
        Ok(Self { remote, dialect: Mutex::default() })
    }

    /// The present address: after a redirect within the server it is the new one.
    pub fn url(&self) -> Url {
        self.remote.url()
    }

    /// The refs that begin with one of `prefixes` (all, if there is none), and HEAD. A server of the
    /// old protocol lists all of its refs. One request as a rule.
    ///
    /// # Errors
    /// All of [`WireError`] but those of pushing; never half a list.
    pub async fn ls_refs(&self, prefixes: &[&str]) -> Result<Advertisement, WireError> {
        let known = self.dialect();
        if !matches!(known, Dialect::Old { .. }) {
            let unborn = !matches!(&known, Dialect::TwoOffering(it) if !it.feature("ls-refs", "unborn"));
            match self.ask_ls_refs(prefixes, unborn).await {
                Ok(list) => {
                    self.learn_two();
                    return Ok(list);
                }
                Err(error) if matches!(known, Dialect::Untried) && may_be_old(&error) => {
                    tracing::debug!(%error, "upstream did not answer ls-refs: asking what it speaks");
                }
                Err(error) => return Err(error),
            }
        }
        self.ls_refs_by_info(prefixes).await
    }

    async fn ask_ls_refs(&self, prefixes: &[&str], unborn: bool) -> Result<Advertisement, WireError> {
        let request = ls_refs_request(prefixes, unborn).map_err(bad_request)?;
        read_ls_refs(self.remote.ask(request, true).await?).await
    }

    async fn ls_refs_by_info(&self, prefixes: &[&str]) -> Result<Advertisement, WireError> {
        match read_info_refs(self.remote.info_refs(Service::UploadPack, true).await?).await? {
            InfoRefs::Listed(list) => {
                let (list, capabilities) = list.into_upstream();
                self.learn(Dialect::Old { capabilities, shallow: list.shallow });
                Ok(list)
            }
            InfoRefs::Capabilities(capabilities) => {
                let unborn = capabilities.feature("ls-refs", "unborn");
                self.learn(Dialect::TwoOffering(capabilities));
                self.ask_ls_refs(prefixes, unborn).await
            }
        }
    }

    /// As [`Upstream::can_filter`], as far as it is known without a request.
    pub(crate) fn is_known_to_filter(&self) -> bool {
        matches!(self.dialect(), Dialect::TwoOffering(offered) if offered.feature("fetch", "filter"))
    }

    /// Whether packs can be asked for without trees and blobs. One request, once.
    ///
    /// # Errors
    /// Those of reading `info/refs`.
    pub async fn can_filter(&self) -> Result<bool, WireError> {
        match self.dialect() {
            Dialect::Old { .. } => return Ok(false),
            Dialect::TwoOffering(offered) => return Ok(offered.feature("fetch", "filter")),
            Dialect::Untried | Dialect::Two => {}
        }
        match read_info_refs(self.remote.info_refs(Service::UploadPack, true).await?).await? {
            InfoRefs::Capabilities(offered) => {
                let answer = offered.feature("fetch", "filter");
                self.learn(Dialect::TwoOffering(offered));
                Ok(answer)
            }
            InfoRefs::Listed(list) => {
                let (list, capabilities) = list.into_upstream();
                self.learn(Dialect::Old { capabilities, shallow: list.shallow });
                Ok(false)
            }
        }
    }

    /// A pack with everything that `wants` need and `haves` do not imply. Read the refs first: a
    /// server of the old protocol is recognised there.
    ///
    /// # Errors
    /// [`WireError::UpstreamMoved`] when a want is not to be had, [`WireError::Shallow`] before any
    /// byte of the pack, and those of the transport.
    pub async fn fetch(&self, wants: &[Oid], haves: &[Oid], options: FetchOptions) -> Result<Pack, WireError> {
        match self.dialect() {
            Dialect::Old { shallow: true, .. } => Err(WireError::Shallow),
            Dialect::Old { capabilities, .. } => self.fetch_v0(wants, haves, options, &capabilities).await,
            _ => {
                let request = fetch::request_v2(wants, haves, options).map_err(bad_request)?;
                fetch::read_v2(self.post(request, true).await?, options).await
            }
        }
    }

    async fn fetch_v0(
        &self,
        wants: &[Oid],
        haves: &[Oid],
        options: FetchOptions,
        offered: &Capabilities,
    ) -> Result<Pack, WireError> {
        let detail = if options.tips_only || options.without_trees || options.small_blobs {
            "it cannot leave parts out of a pack"
        } else if !offered.has("side-band-64k") {
            "it does not offer side-band-64k"
        } else {
            let request = fetch::request_v0(wants, haves, options, offered).map_err(bad_request)?;
            return fetch::read_v0(self.post(request, false).await?).await;
        };
        Err(WireError::Protocol { side: Side::Upstream, detail: detail.to_owned() })
    }

    async fn post(&self, request: Bytes, version2: bool) -> Result<Body, WireError> {
        self.remote.ask(request, version2).await
    }

    /// The protocol that upstream was found to speak; `None` before the first list.
    pub fn version(&self) -> Option<Version> {
        match self.dialect() {
            Dialect::Untried => None,
            Dialect::Two | Dialect::TwoOffering(_) => Some(Version::V2),
            Dialect::Old { .. } => Some(Version::V0),
        }
    }

    fn dialect(&self) -> Dialect {
        self.dialect.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, dialect: Dialect) {
        *self.dialect.lock().unwrap_or_else(PoisonError::into_inner) = dialect;
    }

    fn learn_two(&self) {
        let mut dialect = self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*dialect, Dialect::Untried) {
            *dialect = Dialect::Two;
        }
    }
}

fn bad_request(error: FrameError) -> WireError {
    WireError::BadRequest { detail: error.to_string() }
}

fn ls_refs_request(prefixes: &[&str], unborn: bool) -> Result<Bytes, FrameError> {
    let mut out = BytesMut::new();
    put(&mut out, b"command=ls-refs\n")?;
    put(&mut out, format!("{AGENT}\n").as_bytes())?;
    put_delimiter(&mut out);
    put(&mut out, b"peel\n")?;
    put(&mut out, b"symrefs\n")?;
    if unborn {
        put(&mut out, b"unborn\n")?;
    }
    if !prefixes.is_empty() {
        put(&mut out, b"ref-prefix HEAD\n")?;
        for prefix in prefixes {
            put(&mut out, format!("ref-prefix {prefix}\n").as_bytes())?;
        }
    }
    put_flush(&mut out);
    Ok(out.freeze())
}

/// Whether a failed `ls-refs` may come from a server that does not know v2, or that redirects only
/// `info/refs`. An old upload-pack dies on the unknown command, and the HTTP server in front of it
/// answers with nothing, an error, or 200 and an `ERR`.
fn may_be_old(error: &WireError) -> bool {
    match error {
        WireError::Status { status, .. } => (300..=501).contains(status),
        WireError::NotFound { .. }
        | WireError::BadRedirect { .. }
        | WireError::Protocol { .. }
        | WireError::Truncated { .. }
        | WireError::Remote { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_for_refs_names_head_and_every_prefix() {
        let bytes = ls_refs_request(&["refs/heads/", "refs/tags/"], true).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for line in ["command=ls-refs", "peel", "symrefs", "unborn", "ref-prefix HEAD", "ref-prefix refs/tags/"] {
            assert!(text.contains(&format!("{line}\n")), "{line}");
        }
        assert!(!String::from_utf8(ls_refs_request(&[], false).unwrap().to_vec()).unwrap().contains("ref-prefix"));
    }
}

//! Questions to upstream that a scan leaves: the bases of deltas, or the small files alone.

use crate::domain::refs::Oid;
use crate::domain::retry::Retry;
use crate::git::error::WireError;
use crate::git::fetch::FetchOptions;
use crate::git::upstream::Upstream;

use super::delta::Delta;
use super::entries::Scanner;
use super::findings::Findings;

/// Bases in one question.
const BASES_AT_ONCE: usize = 2_000;

/// Makes findings complete: asks for the bases that deltas wait for, and where that does not settle it
/// for a pack of small files. What is still in doubt then stays incomplete.
///
/// # Errors
/// Those of the transport that may pass.
pub async fn settle(
    upstream: &Upstream,
    wants: &[Oid],
    haves: &[Oid],
    mut findings: Findings,
) -> Result<Findings, WireError> {
    if !findings.incomplete && !findings.waiting.is_empty() {
        ask_for_bases(upstream, &mut findings).await?;
    }
    if findings.is_complete() {
        return Ok(findings);
    }
    tracing::info!("the pack did not tell all of its LFS pointers: its small files are read once more");
    let mut thorough = scan_all(upstream, wants, haves).await?;
    findings.waiting.clear();
    findings.incomplete = false;
    thorough.absorb(findings);
    Ok(thorough)
}

/// Reads every small file that `wants` need and `haves` do not imply, and nothing else where upstream can
/// leave the rest out. The trees and commits come too, and are thrown away.
///
/// # Errors
/// Those of fetching.
pub async fn scan_all(upstream: &Upstream, wants: &[Oid], haves: &[Oid]) -> Result<Findings, WireError> {
    let small_blobs = upstream.can_filter().await?;
    let options = FetchOptions { small_blobs, ..FetchOptions::default() };
    let mut pack = upstream.fetch(wants, haves, options).await?;
    let mut scanner = Scanner::thorough();
    while let Some(piece) = pack.next().await? {
        scanner.feed(&piece);
    }
    let mut findings = scanner.finish();
    // Nothing was thin, so whatever waits is lost.
    findings.incomplete |= !findings.waiting.is_empty();
    findings.waiting.clear();
    Ok(findings)
}

async fn ask_for_bases(upstream: &Upstream, findings: &mut Findings) -> Result<(), WireError> {
    let oids: Vec<Oid> = findings.waiting.keys().copied().collect();
    for some in oids.chunks(BASES_AT_ONCE) {
        let without_trees = upstream.can_filter().await?;
        let options = FetchOptions { tips_only: true, without_trees, ..FetchOptions::default() };
        let mut pack = match upstream.fetch(some, &[], options).await {
            Ok(pack) => pack,
            Err(error) if matches!(error.retry(), Retry::After(_)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "upstream does not give the bases of deltas");
                return Ok(());
            }
        };
        let mut scanner = Scanner::for_bases();
        while let Some(piece) = pack.next().await? {
            scanner.feed(&piece);
        }
        for (oid, content) in scanner.into_bases() {
            for bytes in findings.waiting.remove(&oid).unwrap_or_default() {
                match Delta::read(&bytes).and_then(|it| it.apply(&content)) {
                    Some(made) => drop(findings.look(&made)),
                    None => findings.incomplete = true,
                }
            }
        }
    }
    Ok(())
}

//! Lists of refs: what upstream has, what the target has.
//!
//! Packets come from [`super::body`]; [`super::upstream`] and [`super::target`] hand the finished
//! lists on. A list without its final flush is an error: pruning by half a list would delete the
//! other half.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::body::{Body, Packets};
use super::capabilities::Capabilities;
use super::error::WireError;
use super::pktline::{Packet, line};
use crate::domain::refs::{Head, Oid, RefMap, RefName};

/// The most refs of one list.
const MAX_REFS: usize = 2_000_000;
/// The most bytes of one list.
const MAX_LIST_BYTES: u64 = 512 << 20;
/// Length of an oid in hex.
const HEX: usize = 40;

/// The protocol in which upstream answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The old one, whose first line carries the capabilities (version 1 only adds a line).
    V0,
    /// Commands: `ls-refs`, `fetch`.
    V2,
}

/// What upstream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// Every ref that was asked for (v2) or all of them (v0), without HEAD.
    pub refs: RefMap,
    /// For annotated tags: the object at the end of the chain.
    pub peeled: BTreeMap<RefName, Oid>,
    /// Where HEAD points.
    pub head: Head,
    /// Names that are no legal ref names or no UTF-8, with replacement characters. They cannot be mirrored.
    pub odd: Vec<String>,
    /// Upstream is a shallow clone. Known here in v0 only; in v2 a fetch fails on it.
    pub shallow: bool,
    /// The protocol of the answer.
    pub version: Version,
}

/// What the target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveAdvertisement {
    /// All refs, those that starkeep does not manage too. HEAD is not told.
    pub refs: RefMap,
    /// Names that are no legal ref names or no UTF-8.
    pub odd: Vec<String>,
    /// What receive-pack can do.
    pub capabilities: Capabilities,
}

/// A list that grows line by line.
#[derive(Debug, Default)]
struct Collected {
    refs: Vec<(RefName, Oid)>,
    peeled: Vec<(RefName, Oid)>,
    odd: Vec<String>,
}

impl Collected {
    /// Takes a ref by its raw name; `false` for a name that cannot be a ref's.
    fn add(&mut self, name: &[u8], oid: Oid) -> bool {
        match std::str::from_utf8(name).ok().and_then(|it| RefName::new(it).ok()) {
            Some(name) => {
                self.refs.push((name, oid));
                true
            }
            None => {
                self.odd.push(String::from_utf8_lossy(name).escape_debug().to_string());
                false
            }
        }
    }

    fn check(&self, body: &Body) -> Result<(), WireError> {
        if self.refs.len() + self.odd.len() > MAX_REFS {
            return Err(WireError::TooLarge { side: body.side(), what: "the list of refs", limit: MAX_REFS as u64 });
        }
        Ok(())
    }
}

/// `oid rest` of a line.
fn oid_and_rest(line: &[u8]) -> Option<(Oid, &[u8])> {
    let (hex, rest) = line.split_at_checked(HEX)?;
    let oid = std::str::from_utf8(hex).ok()?.parse().ok()?;
    Some((oid, rest.strip_prefix(b" ")?))
}

/// Reads the answer to v2 `ls-refs`.
///
/// # Errors
/// [`WireError::Truncated`] without the final flush; lines that are no refs; the bounds.
pub(crate) async fn read_ls_refs(body: Body) -> Result<Advertisement, WireError> {
    let mut packets = Packets::new(body, "the list of refs", MAX_LIST_BYTES);
    let mut all = Collected::default();
    let mut head = Head::Unknown;
    loop {
        match packets.required().await? {
            Packet::Flush => break,
            Packet::Data(data) => ls_refs_line(line(&data), &mut all, &mut head)
                .ok_or_else(|| packets.body().protocol("a line of ls-refs is no ref"))?,
            Packet::Delimiter | Packet::ResponseEnd => {
                return Err(packets.body().protocol("a section within the list of refs"));
            }
        }
        all.check(packets.body())?;
    }
    packets.finish().await;
    Ok(Advertisement {
        refs: all.refs.into_iter().collect(),
        peeled: all.peeled.into_iter().collect(),
        head,
        odd: all.odd,
        shallow: false,
        version: Version::V2,
    })
}

/// `<oid|unborn> <name>[ symref-target:<ref>][ peeled:<oid>]`
fn ls_refs_line(line: &[u8], all: &mut Collected, head: &mut Head) -> Option<()> {
    let (oid, rest) = match line.strip_prefix(b"unborn ") {
        Some(rest) => (None, rest),
        None => oid_and_rest(line).map(|(oid, rest)| (Some(oid), rest))?,
    };
    let mut words = rest.split(|it| *it == b' ');
    let name = words.next().filter(|it| !it.is_empty())?;
    let (mut target, mut peeled) = (None, None);
    for word in words {
        if let Some(it) = word.strip_prefix(b"symref-target:") {
            target = std::str::from_utf8(it).ok().and_then(|it| RefName::new(it).ok());
        } else if let Some(it) = word.strip_prefix(b"peeled:") {
            peeled = Some(std::str::from_utf8(it).ok()?.parse::<Oid>().ok()?);
        }
    }
    if name == b"HEAD" {
        *head = match (target, oid) {
            (None, _) => Head::Unknown,
            (Some(it), Some(_)) => Head::Branch(it),
            (Some(it), None) => Head::Unborn(it),
        };
    } else if let Some(oid) = oid
        && all.add(name, oid)
        && let (Some(peeled), Some((name, _))) = (peeled, all.refs.last())
    {
        all.peeled.push((name.clone(), peeled));
    }
    Some(())
}

/// What `info/refs` turned out to be.
#[derive(Debug)]
pub(crate) enum InfoRefs {
    /// A list of the old kind.
    Listed(OldList),
    /// Protocol v2: capabilities only.
    Capabilities(Capabilities),
}

/// A list of the old kind.
#[derive(Debug)]
pub(crate) struct OldList {
    all: Collected,
    capabilities: Capabilities,
    shallow: bool,
}

impl OldList {
    /// As upstream's. HEAD's branch counts only if it is in the list.
    pub(crate) fn into_upstream(self) -> (Advertisement, Capabilities) {
        let refs: RefMap = self.all.refs.into_iter().collect();
        let head = match self.capabilities.head() {
            Head::Branch(name) if !refs.contains_key(&name) => Head::Unborn(name),
            head => head,
        };
        let peeled = self.all.peeled.into_iter().collect();
        let (odd, shallow, version) = (self.all.odd, self.shallow, Version::V0);
        (Advertisement { refs, peeled, head, odd, shallow, version }, self.capabilities)
    }

    /// As the target's.
    pub(crate) fn into_target(self) -> ReceiveAdvertisement {
        let refs = self.all.refs.into_iter().collect();
        ReceiveAdvertisement { refs, odd: self.all.odd, capabilities: self.capabilities }
    }
}

/// Reads the answer to `info/refs`.
///
/// # Errors
/// [`WireError::Truncated`] without the final flush, also for an empty answer;
/// [`WireError::ObjectFormat`]; lines that are no refs; the bounds.
pub(crate) async fn read_info_refs(body: Body) -> Result<InfoRefs, WireError> {
    let mut packets = Packets::new(body, "the list of refs", MAX_LIST_BYTES);
    let mut first = packets.required().await?;
    // `# service=…` and a flush may stand in front, in every version of the protocol.
    if matches!(&first, Packet::Data(data) if data.starts_with(b"# service=")) {
        first = packets.required().await?;
        if first == Packet::Flush {
            first = packets.required().await?;
        }
    }
    match &first {
        Packet::Data(data) if line(data) == b"version 2" => return read_capabilities(packets).await,
        Packet::Data(data) if line(data) == b"version 1" => first = packets.required().await?,
        _ => {}
    }
    read_old_list(first, packets).await.map(InfoRefs::Listed)
}

async fn read_capabilities(mut packets: Packets) -> Result<InfoRefs, WireError> {
    let mut capabilities = Capabilities::default();
    loop {
        match packets.required().await? {
            Packet::Flush => break,
            Packet::Data(data) => capabilities.add_line(line(&data)),
            Packet::Delimiter | Packet::ResponseEnd => {
                return Err(packets.body().protocol("a section within the capabilities"));
            }
        }
    }
    capabilities.require_sha1(packets.body().side())?;
    packets.finish().await;
    Ok(InfoRefs::Capabilities(capabilities))
}

async fn read_old_list(first: Packet, mut packets: Packets) -> Result<OldList, WireError> {
    let mut list = OldList { all: Collected::default(), capabilities: Capabilities::default(), shallow: false };
    let mut packet = first;
    let mut is_first = true;
    loop {
        let data = match packet {
            Packet::Flush => break,
            Packet::Data(data) => data,
            Packet::Delimiter | Packet::ResponseEnd => {
                return Err(packets.body().protocol("a section within the list of refs"));
            }
        };
        let text = if is_first { with_capabilities(&data, &mut list, packets.body())? } else { data };
        is_first = false;
        old_line(line(&text), &mut list).ok_or_else(|| packets.body().protocol("a line of the list is no ref"))?;
        list.all.check(packets.body())?;
        packet = packets.required().await?;
    }
    packets.finish().await;
    Ok(list)
}

/// Cuts the capabilities off the first line and refuses formats whose oids are longer.
fn with_capabilities(data: &Bytes, list: &mut OldList, body: &Body) -> Result<Bytes, WireError> {
    let Some(nul) = data.iter().position(|it| *it == 0) else { return Ok(data.clone()) };
    list.capabilities = Capabilities::of_words(data.get(nul + 1..).unwrap_or_default());
    list.capabilities.require_sha1(body.side())?;
    Ok(data.slice(..nul))
}

/// `<oid> <name>`, `<oid> <name>^{}`, `<oid> .have`, `<zeros> capabilities^{}` or `shallow <oid>`.
fn old_line(line: &[u8], list: &mut OldList) -> Option<()> {
    if line.starts_with(b"shallow ") {
        list.shallow = true;
        return Some(());
    }
    let (oid, name) = oid_and_rest(line)?;
    match name {
        // HEAD's branch is told by the capabilities; `.have` is an object of a repository that
        // shares its store with the target; a list without refs has a placeholder.
        b"HEAD" | b".have" | b"capabilities^{}" => {}
        name => match name.strip_suffix(b"^{}") {
            None => drop(list.all.add(name, oid)),
            Some(tag) => {
                if let Some((last, _)) = list.all.refs.last()
                    && last.as_str().as_bytes() == tag
                {
                    list.all.peeled.push((last.clone(), oid));
                }
            }
        },
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn ls_refs(lines: &[String]) -> Option<(Collected, Head)> {
        let (mut all, mut head) = (Collected::default(), Head::Unknown);
        for line in lines {
            ls_refs_line(line.as_bytes(), &mut all, &mut head)?;
        }
        Some((all, head))
    }

    #[test]
    fn a_line_of_ls_refs_tells_peeled_tags_and_head() {
        let (all, head) = ls_refs(&[
            format!("{A} HEAD symref-target:refs/heads/main"),
            format!("{A} refs/heads/main"),
            format!("{A} refs/tags/v1 peeled:{B}"),
            format!("{A} refs/heads/bad..name"),
        ])
        .unwrap();
        assert_eq!(head, Head::Branch(RefName::new("refs/heads/main").unwrap()));
        assert_eq!(all.refs.len(), 2);
        assert_eq!(all.peeled, [(RefName::new("refs/tags/v1").unwrap(), B.parse().unwrap())]);
        assert_eq!(all.odd, ["refs/heads/bad..name"]);
    }

    #[test]
    fn an_unborn_head_is_told_and_a_detached_one_is_unknown() {
        let unborn = "unborn HEAD symref-target:refs/heads/trunk".to_owned();
        assert_eq!(ls_refs(&[unborn]).unwrap().1, Head::Unborn(RefName::new("refs/heads/trunk").unwrap()));
        assert_eq!(ls_refs(&[format!("{A} HEAD")]).unwrap().1, Head::Unknown);
    }

    #[test]
    fn lines_that_are_no_refs_are_refused() {
        for bad in ["", "x", "refs/heads/main", &A[..39], A, &format!("{A} "), &format!("{A} refs/tags/x peeled:zz")] {
            assert!(ls_refs(&[bad.to_owned()]).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_old_line_peels_the_tag_before_it() {
        let mut list = OldList { all: Collected::default(), capabilities: Capabilities::default(), shallow: false };
        for line in [
            format!("{A} HEAD"),
            format!("{A} refs/tags/v1"),
            format!("{B} refs/tags/v1^{{}}"),
            format!("{A} .have"),
            format!("shallow {A}"),
        ] {
            old_line(line.as_bytes(), &mut list).unwrap();
        }
        let (ad, _) = list.into_upstream();
        assert!(ad.shallow && ad.odd.is_empty());
        assert_eq!((ad.refs.len(), ad.peeled.len()), (1, 1));
    }
}

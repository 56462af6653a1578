//! Bare HTTP over one connection: what the servers need when the client costs nothing.

use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::data;

/// Posts `head` and then all of `rest`, and reads the answer to its end. Answers the time, the bytes
/// of the answer, headers included, and the last of them.
///
/// # Errors
/// When the server cannot be reached or does not answer 200.
pub(crate) fn post(
    url: &str,
    headers: &[(&str, &str)],
    head: &[u8],
    rest: Option<(&mut dyn Read, u64)>,
) -> anyhow::Result<(Duration, u64, String)> {
    let (host, path) = url.strip_prefix("http://").and_then(|it| it.split_once('/')).context("not an http address")?;
    let length = head.len() as u64 + rest.as_ref().map_or(0, |it| it.1);
    let began = Instant::now();
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    let mut out = BufWriter::with_capacity(256 * 1024, &stream);
    write!(out, "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n")?;
    for (name, value) in headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    out.write_all(b"\r\n")?;
    out.write_all(head)?;
    if let Some((rest, _)) = rest {
        std::io::copy(rest, &mut out)?;
    }
    out.flush()?;
    drop(out);
    let (mut bytes, mut block, mut last) = (0, vec![0; 256 * 1024], Vec::new());
    let mut first = None;
    loop {
        let read = stream.read(&mut block)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        let piece = block.get(..read).unwrap_or_default();
        first.get_or_insert_with(|| String::from_utf8_lossy(piece.get(..12).unwrap_or_default()).into_owned());
        last.extend_from_slice(piece.get(read.saturating_sub(4096)..).unwrap_or_default());
        last.drain(..last.len().saturating_sub(4096));
    }
    anyhow::ensure!(first.as_deref() == Some("HTTP/1.1 200"), "the server answered {first:?} to {path}");
    Ok((began.elapsed(), bytes, String::from_utf8_lossy(&last).into_owned()))
}

/// The pack of everything, asked for as the relay asks and thrown away.
///
/// # Errors
/// As [`post`].
pub(crate) fn download(url: &str, repository: &Path) -> anyhow::Result<(Duration, u64)> {
    let mut request = String::from("0012command=fetch\n0001000fno-progress000dofs-delta");
    for line in data::run(repository, &["for-each-ref", "--format=%(objectname)"])?.lines() {
        request.push_str(&format!("0032want {line}\n"));
    }
    request.push_str("0009done\n0000");
    let headers = [("Git-Protocol", "version=2"), ("Content-Type", "application/x-git-upload-pack-request")];
    let (time, bytes, _) = post(&format!("{url}/git-upload-pack"), &headers, request.as_bytes(), None)?;
    Ok((time, bytes))
}

/// receive-pack fed from the repository's own pack, which makes every ref: all in one push, or as a
/// new project of OneDev needs it, the default branch alone and then the rest.
///
/// # Errors
/// As [`post`]; when the server refuses the pack.
pub(crate) fn upload(
    url: &str,
    authorization: &str,
    repository: &Path,
    default_branch_first: bool,
) -> anyhow::Result<(Duration, u64)> {
    let refs = data::run(repository, &["for-each-ref", "--format=%(objectname) %(refname)"])?;
    let (first, rest): (Vec<&str>, Vec<&str>) =
        refs.lines().partition(|it| !default_branch_first || it.ends_with(" refs/heads/main"));
    let packs = std::fs::read_dir(repository.join("objects/pack"))?.flatten().map(|it| it.path());
    let pack =
        packs.into_iter().find(|it| it.extension().is_some_and(|it| it == "pack")).context("there is no pack")?;
    let mut pack = std::fs::File::open(pack)?;
    let size = pack.metadata()?.len();
    let mut time = push(url, authorization, &first, &mut pack, size)?;
    if !rest.is_empty() {
        time += push(url, authorization, &rest, &mut EMPTY_PACK.as_slice(), EMPTY_PACK.len() as u64)?;
    }
    Ok((time, size))
}

/// A pack without objects.
const EMPTY_PACK: [u8; 32] =
    *b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

/// One push that makes refs.
fn push(url: &str, authorization: &str, refs: &[&str], pack: &mut dyn Read, size: u64) -> anyhow::Result<Duration> {
    let mut commands = Vec::new();
    let mut capabilities = "\0 report-status quiet";
    for line in refs {
        let command = format!("{} {line}{capabilities}", "0".repeat(40));
        commands.extend_from_slice(format!("{:04x}{command}", command.len() + 4).as_bytes());
        capabilities = "";
    }
    commands.extend_from_slice(b"0000");
    let headers = [("Authorization", authorization), ("Content-Type", "application/x-git-receive-pack-request")];
    let answer = post(&format!("{url}/git-receive-pack"), &headers, &commands, Some((pack, size)))?;
    anyhow::ensure!(answer.2.contains("ok refs/") && !answer.2.contains("ng refs/"), "refused: {}", answer.2);
    Ok(answer.0)
}

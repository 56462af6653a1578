//! What OneDev's git hooks make of a push, its transport bug included.
//!
//! Both hooks send the list of updates to the server as a form body that is not escaped, with the
//! line breaks taken out. The server decodes it as a form, takes the last parameter whose name has a
//! space in it, and reads it backwards: name, new oid, old oid glued to the name before it. So `+`
//! becomes a space, `%` an escape, `&` starts another parameter and `=` ends the name; whatever then
//! makes no sense is a 500, for the whole push.

use std::path::Path;

use git2::Repository;

use super::reply::Reply;
use crate::simulator::percent;
use crate::simulator::pkt::{Command, Packet};
use crate::simulator::repository;

/// The server refuses a longer form body.
const LONGEST_FORM: usize = 5_000_000;

/// Two oids and three separators.
const AROUND_A_NAME: usize = 83;

/// What the hook's curl says about a 500.
pub(crate) const CURL_500: &str = "curl: (22) The requested URL returned error: 500";

/// The callback fell over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fallen;

/// One update as the server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    old: String,
    new: String,
    name: String,
}

/// Reads the updates as the server does: last first, and only those it can see.
///
/// # Errors
/// [`Fallen`] where the server throws.
pub(crate) fn understood<'a>(commands: impl Iterator<Item = &'a Command>) -> Result<Vec<Update>, Fallen> {
    let (mut form, mut length) = (String::new(), 0);
    for Command { old, new, name } in commands {
        length += AROUND_A_NAME + name.len();
        form.extend([old, " ", new, " ", name]);
    }
    if length > LONGEST_FORM {
        return Err(Fallen);
    }
    let mut info = None;
    for parameter in form.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = percent::decode(name, true).ok_or(Fallen)?;
        percent::decode(value, true).ok_or(Fallen)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        info = if name.contains(' ') { Some(name) } else { info };
    }
    backwards(&info.ok_or(Fallen)?)
}

fn backwards(info: &str) -> Result<Vec<Update>, Fallen> {
    let mut words = info.split(' ').map(str::trim).filter(|it| !it.is_empty()).rev();
    let mut name = words.next().ok_or(Fallen)?;
    let mut updates = Vec::new();
    loop {
        let new = oid(words.next().ok_or(Fallen)?)?;
        let glued = words.next().ok_or(Fallen)?;
        let (before, old) = glued.len().checked_sub(40).and_then(|at| glued.split_at_checked(at)).ok_or(Fallen)?;
        updates.push(Update { old: oid(old)?, new, name: name.to_owned() });
        if before.is_empty() {
            return Ok(updates);
        }
        name = before;
    }
}

fn oid(word: &str) -> Result<String, Fallen> {
    let is_oid = word.len() == 40 && word.bytes().all(|it| it.is_ascii_hexdigit());
    if is_oid { Ok(word.to_owned()) } else { Err(Fallen) }
}

/// What the post-receive callback does after the refs have moved: HEAD of an unborn default branch
/// is linked, pull requests are proposed, and a ref that leads to no commit ends it at once.
/// Answers what the client's terminal shows.
pub(crate) fn post_receive(folder: &Path, project_url: &str, commands: &[&Command]) -> Vec<Packet> {
    let said = match settle(folder, project_url, commands) {
        Ok(said) => said,
        Err(Fallen) => format!("{CURL_500}\n"),
    };
    if said.is_empty() { Vec::new() } else { Packet::progress(&said) }
}

fn settle(folder: &Path, project_url: &str, commands: &[&Command]) -> Result<String, Fallen> {
    let mut said = String::new();
    if commands.is_empty() {
        return Ok(said);
    }
    let repository = Repository::open_bare(folder).map_err(|_| Fallen)?;
    let mut default = default_branch(&repository);
    for update in understood(commands.iter().copied())? {
        if let Some(branch) = update.name.strip_prefix("refs/heads/") {
            match &default {
                None => {
                    repository::set_head(folder, branch).map_err(|_| Fallen)?;
                    default = default_branch(&repository);
                }
                Some(default) if default != branch => said.push_str(&proposal(project_url, default, branch)),
                Some(_) => {}
            }
        }
        for oid in [&update.old, &update.new] {
            let is_none = oid.bytes().all(|it| it == b'0');
            if !is_none && !repository::leads_to_commit(&repository, oid) {
                return Err(Fallen);
            }
        }
    }
    Ok(said)
}

/// HEAD's branch, if it is born.
pub(crate) fn default_branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("HEAD").ok()?;
    let target = head.symbolic_target().ok().flatten()?.to_owned();
    repository.refname_to_id(&target).ok()?;
    target.strip_prefix("refs/heads/").map(str::to_owned)
}

/// Lines without anything but a space keep their space; the hook drops empty ones.
fn proposal(project_url: &str, default: &str, branch: &str) -> String {
    let id = project_url.rsplit('#').next().unwrap_or_default();
    let url = project_url.split('#').next().unwrap_or_default();
    format!(
        " \nCreate a pull request for '{branch}' by visiting:\n    {url}/~pulls/new?target={id}:{default}&source={id}:{branch}\n \n"
    )
}

impl From<Fallen> for Reply {
    fn from(_: Fallen) -> Self {
        Self::server_error("Server Error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(names: &[&str]) -> bool {
        let commands: Vec<_> = names
            .iter()
            .map(|name| Command { old: "0".repeat(40), new: "a1".repeat(20), name: format!("refs/heads/{name}") })
            .collect();
        understood(commands.iter()).is_ok()
    }

    #[test]
    fn names_trip_the_hook_as_they_do_the_real_one() {
        for alone in ["a", "c++", "x&y", "k=v", "semi;colon", "ünï-日本", "#12-fix", "at@x", "$(x)", "p%41q"] {
            assert!(passes(&[alone]), "{alone}");
            assert!(passes(&["first", alone]), "{alone} last");
        }
        for declined in ["a+b", "v1.0+build.5", "p%zzq", "100%", "only%20c", "+a"] {
            assert!(!passes(&[declined]), "{declined}");
            assert!(!passes(&["ok1", declined, "ok2"]), "{declined} between others");
        }
        assert!(!passes(&["b1&c", "zz9"]));
        assert!(passes(&["k=v", "a"]) && passes(&["k=v", "a+b"]));
    }

    #[test]
    fn what_stands_behind_an_equals_sign_is_not_seen() {
        let commands = ["refs/heads/k=v", "refs/heads/z"].map(|name| Command {
            old: "0".repeat(40),
            new: "a1".repeat(20),
            name: name.to_owned(),
        });
        let seen = understood(commands.iter()).unwrap();
        assert_eq!(seen.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["refs/heads/k"]);
    }

    #[test]
    fn a_form_of_five_million_bytes_is_too_long() {
        let name = |length: usize| "n".repeat(length);
        let fits = vec![name(186 - 11); 18_500];
        assert!(passes(&fits.iter().map(String::as_str).collect::<Vec<_>>()));
        let exceeds = vec![name(186 - 11); 18_600];
        assert!(!passes(&exceeds.iter().map(String::as_str).collect::<Vec<_>>()));
    }
}

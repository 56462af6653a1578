//! A repository's own `.lfsconfig`: whether it says that LFS objects are kept at another place than beside
//! the repository.
//!
//! The text is read as git reads its configuration, as far as `lfs.url` and `remote.<name>.lfsurl` need it.

use std::fmt;

use url::Url;

/// Longer places are cut.
const LONGEST: usize = 200;

/// Another place of LFS objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// Another server: its host, with the port if one is named.
    Server(String),
    /// Another repository of the same server: host and path.
    Repository(String),
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(host) => write!(f, "at another server {host}"),
            Self::Repository(place) => write!(f, "in another repository {place}"),
        }
    }
}

/// Where the text of a `.lfsconfig` says that objects are kept, unless that is `own`, the repository's address.
pub fn elsewhere(text: &str, own: &Url) -> Option<Elsewhere> {
    let (host, path) = place(&address(text)?)?;
    let (own_host, own_path) = (own.host_str()?.to_ascii_lowercase(), repository(own.path()));
    let own_host = own.port().map_or(own_host.clone(), |port| format!("{own_host}:{port}"));
    if host != own_host {
        return Some(Elsewhere::Server(clipped(&host)));
    }
    let path = repository(&path);
    (!path.eq_ignore_ascii_case(&own_path)).then(|| Elsewhere::Repository(clipped(&format!("{host}/{path}"))))
}

/// `lfs.url`, or a remote's `lfsurl` where there is none. The last of several counts.
fn address(text: &str) -> Option<String> {
    let (mut section, mut url, mut of_remote) = (String::new(), None, None);
    for line in text.lines() {
        let mut line = line.trim();
        if let Some((header, rest)) = line.strip_prefix('[').and_then(|it| it.split_once(']')) {
            section = header.trim().to_ascii_lowercase();
            line = rest.trim();
        }
        let Some((key, given)) = line.split_once('=') else { continue };
        let of_a_remote = section.starts_with("remote ") || section.starts_with("remote.");
        match key.trim().to_ascii_lowercase().as_str() {
            "url" if section == "lfs" => url = Some(value(given)),
            "lfsurl" if of_a_remote => of_remote = Some(value(given)),
            _ => {}
        }
    }
    url.or(of_remote).filter(|it| !it.is_empty())
}

/// A value without its quotes and what follows as a comment.
fn value(given: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    for letter in given.trim().chars() {
        match letter {
            _ if escaped => {
                out.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => break,
            _ => out.push(letter),
        }
    }
    out.trim_end().to_owned()
}

/// Host and path of an address in one of git's forms; nothing of a credential in it.
fn place(address: &str) -> Option<(String, String)> {
    if address.contains("://") {
        let url = Url::parse(address).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        // By SSH the port is no part of the place.
        let port = url.port().filter(|_| url.scheme().starts_with("http"));
        return Some((port.map_or(host.clone(), |it| format!("{host}:{it}")), url.path().to_owned()));
    }
    let (host, path) = address.split_once(':')?;
    let host = host.rsplit('@').next()?.to_ascii_lowercase();
    let is_host = !host.is_empty() && host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-".contains(&it));
    is_host.then(|| (host, path.to_owned()))
}

/// A path without what LFS and git add to the repository's.
fn repository(path: &str) -> String {
    let path = path.trim_matches('/');
    let path = path.strip_suffix("/info/lfs").unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path).to_owned()
}

fn clipped(text: &str) -> String {
    let shown = |it: char| if it.is_ascii_graphic() { it } else { '_' };
    text.chars().take(LONGEST).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> Option<String> {
        let own: Url = "https://github.com/octo/media".parse().unwrap();
        elsewhere(text, &own).map(|it| it.to_string())
    }

    #[test]
    fn another_server_or_repository_is_named_without_what_is_secret_in_its_address() {
        let server = |text: &str| assert_eq!(told(text).unwrap(), "at another server lfs.example.org", "{text}");
        server("[lfs]\n\turl = https://lfs.example.org/octo/media\n");
        server("[lfs] url=\"https://me:secret@LFS.example.org/x?token=1\" ; ours\n");
        server("# objects\n[core]\n\turl = https://x.example\n[LFS]\n\tURL = https://lfs.example.org # there\n");
        server("[remote \"origin\"]\n\tlfsurl = ssh://git@lfs.example.org:2222/octo/media.git\n");
        server("[lfs]\n\turl = git@lfs.example.org:octo/media.git\n");
        server("[lfs]\nurl = https://first.example\nurl = https://lfs.example.org\n");
        assert_eq!(
            told("[lfs]\nurl = http://lfs.example.org:8080/x").unwrap(),
            "at another server lfs.example.org:8080"
        );
        let other = told("[lfs]\nurl = https://github.com/octo/store.git/info/lfs").unwrap();
        assert_eq!(other, "in another repository github.com/octo/store");
    }

    #[test]
    fn the_repositorys_own_place_and_other_settings_say_nothing() {
        for text in [
            "",
            "[lfs]\n\tfetchexclude = *\n\tlocksverify = true\n",
            "[lfs]\n\turl = https://github.com/Octo/Media.git/info/lfs\n",
            "[lfs]\n\turl = git@github.com:octo/media.git\n",
            "[lfs \"https://lfs.example.org\"]\n\taccess = basic\n",
            "[lfs]\n\tpushurl = https://lfs.example.org\n",
            "[lfs]\n\turl =\n",
            "[lfs]\n\turl = not an address\n",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_no_credential_comes_out(text in "(\\[lfs\\]\n)?(url ?= ?)?.{0,200}", user in "[a-z]{8}") {
            let _ = told(&text);
            let place = told(&format!("[lfs]\nurl = https://{user}:{user}@lfs.example.org/x\n"));
            prop_assert_eq!(place.as_deref(), Some("at another server lfs.example.org"));
        }
    }
}

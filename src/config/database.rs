//! `database.*`: where state is kept.

use secrecy::{ExposeSecret as _, SecretString};

use super::Section;
use super::problem::Problem;
use super::values::{Values, flag};

/// The `database` section.
#[derive(Debug, Clone)]
pub struct Database {
    /// `sqlite://PATH` or `postgres://…`; a secret, since it may hold a password.
    pub url: SecretString,
    /// Whether `serve` brings the schema up to date by itself.
    pub migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: SecretString::from("sqlite://starkeep.db"), migrate: true }
    }
}

impl Database {
    /// Whether several processes may share it.
    pub fn is_shared(&self) -> bool {
        !self.url.expose_secret().trim_start().starts_with("sqlite:")
    }
}

impl Section for Database {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { url, migrate } = &mut it;
        values.set_secret_address("database.url", url);
        values.set("database.migrate", migrate, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { url, migrate: _ } = self;
        let url = url.expose_secret();
        let problem = |found: &str, accepted: &str| vec![Problem::new("database.url", found, accepted)];
        if let Some(path) = url.strip_prefix("sqlite://") {
            return match path {
                "" => problem("names no file", "write `sqlite://` and the file's path, as in `sqlite://starkeep.db`"),
                _ if path.contains(":memory:") => {
                    problem("is in memory, which would be lost and not shared", "write `sqlite://` and a file's path")
                }
                _ => Vec::new(),
            };
        }
        // The address itself may hold a password, so no message shows it.
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return problem(
                "is of no known kind",
                "write `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
            );
        }
        if demands_tls(url) && !cfg!(feature = "postgres-tls") {
            return problem(
                "asks for TLS (`sslmode`), which this build does not speak to Postgres",
                "take a release or build with `--features postgres-tls`, or leave `sslmode` out and reach the server \
                 over loopback, a socket or a private network",
            );
        }
        Vec::new()
    }
}

/// Whether a connection without TLS would be against the address's own words.
fn demands_tls(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .any(|pair| matches!(pair.split_once('='), Some(("sslmode", "require" | "verify-ca" | "verify-full"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str) -> Vec<Problem> {
        Database { url: SecretString::from(url), migrate: true }.problems()
    }

    #[test]
    fn the_scheme_picks_the_database() {
        for fine in ["sqlite://starkeep.db", "sqlite:///var/lib/starkeep/starkeep.db", "postgres://u:p@h:5432/d"] {
            assert_eq!(ask(fine), [], "{fine}");
        }
        for wrong in
            ["", "starkeep.db", "sqlite://", "sqlite://:memory:", "mysql://u:secret@h/d", "postgres:u:secret@h"]
        {
            let [problem] = ask(wrong).try_into().unwrap();
            assert!(!problem.to_string().contains("secret"), "{problem}");
        }
    }

    #[test]
    #[cfg(not(feature = "postgres-tls"))]
    fn a_postgres_that_must_be_reached_by_tls_is_refused_with_the_mend() {
        let [problem] = ask("postgres://u:secret@h/d?connect_timeout=3&sslmode=verify-full").try_into().unwrap();
        assert!(problem.accepted.contains("leave `sslmode` out"));
        assert!(!problem.to_string().contains("secret"));
        assert_eq!(ask("postgres://u@h/d?sslmode=prefer"), []);
    }
}

//! `database.url`, taken apart: which database, where, and how to reach it without ever showing the
//! password.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::error::StoreError;
use super::tls::Tls;

/// Where the state is.
#[derive(Clone)]
pub(super) enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<Server>),
}

/// A Postgres server as both clients need it: libpq for the queries, tokio-postgres for `LISTEN`.
#[derive(Clone)]
pub(super) struct Server {
    /// Shared by all copies, so that what is opened next has the present one.
    login: Arc<RwLock<Login>>,
    parts: Parts,
    /// Whether and how the connection is encrypted.
    pub(super) tls: Tls,
    /// Options of the address that only libpq knows, as they were given.
    rest: Vec<(String, String)>,
}

/// Who connects.
#[derive(Clone, Default)]
struct Login {
    user: Option<String>,
    password: Option<SecretString>,
}

/// What is connected to.
#[derive(Clone, Default, PartialEq, Eq)]
struct Parts {
    host: String,
    port: Option<u16>,
    database: Option<String>,
    options: Option<String>,
}

/// A server that does not answer is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const ACCEPTED: &str = "write `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`";

impl Address {
    /// Connects with the user and password of `other` from now on, copies of this included; `false` if that is another
    /// database, or reached in another way.
    pub(super) fn renew(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(path), Self::Sqlite(other)) => path == other,
            (Self::Postgres(server), Self::Postgres(other)) => server.renew(other),
            (Self::Sqlite(_), Self::Postgres(_)) | (Self::Postgres(_), Self::Sqlite(_)) => false,
        }
    }

    /// Takes a `database.url` apart.
    pub(super) fn parse(url: &SecretString) -> Result<Self, StoreError> {
        let text = url.expose_secret().trim();
        let (scheme, rest) =
            text.split_once(':').ok_or_else(|| StoreError::Address(format!("there is no scheme in it; {ACCEPTED}")))?;
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(Server::parse(text)?))),
            _ => Err(StoreError::Address(format!("its scheme is not known; {ACCEPTED}"))),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite {}", path.display()),
            Self::Postgres(server) => write!(f, "postgres {}", server.shown()),
        }
    }
}

fn sqlite(rest: &str) -> Result<Address, StoreError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.contains(":memory:") || path.starts_with("file:") || path.contains('\0') {
        let why = "a SQLite database is a file that all connections share; write `sqlite://PATH`";
        return Err(StoreError::Address(why.to_owned()));
    }
    Ok(Address::Sqlite(PathBuf::from(path)))
}

impl Server {
    fn parse(text: &str) -> Result<Self, StoreError> {
        // The parser's own errors could quote a piece of the password, so they are not passed on.
        let url = Url::parse(text).map_err(|_| {
            let why = "it does not parse as a URL; percent-encode special characters of the password";
            StoreError::Address(format!("{why}; {ACCEPTED}"))
        })?;
        let mut parts = Parts {
            host: decoded(url.host_str().unwrap_or_default())?,
            port: url.port(),
            database: some(decoded(url.path().trim_start_matches('/'))?),
            options: None,
        };
        let mut login = Login {
            user: some(decoded(url.username())?),
            password: url.password().map(decoded).transpose()?.map(SecretString::from),
        };
        if parts.database.as_deref().is_some_and(|it| it.contains(['@', '/'])) {
            let why = "the database's name holds `@` or `/`; percent-encode special characters of the password";
            return Err(StoreError::Address(why.to_owned()));
        }
        let (mut rest, mut tls) = (Vec::new(), Tls::default());
        for (key, value) in url.query_pairs() {
            if !tls.take(&key, &value)? {
                parts.take(&key, value.into_owned(), &mut login, &mut rest)?;
            }
        }
        if parts.host.is_empty() {
            parts.host = "localhost".to_owned();
        }
        Ok(Self { login: Arc::new(RwLock::new(login)), parts, tls: tls.or_environment()?, rest })
    }

    fn login(&self) -> Login {
        self.login.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `user@host:port/database`, for people.
    pub(super) fn shown(&self) -> String {
        let Parts { host, port, database, options: _ } = &self.parts;
        let user = self.login().user.map(|it| format!("{it}@")).unwrap_or_default();
        let port = port.map(|it| format!(":{it}")).unwrap_or_default();
        format!("{user}{host}{port}/{}", database.as_deref().unwrap_or_default())
    }

    /// Connects as `other` does from now on, copies of this included, if it is the same database reached in the same
    /// way; else nothing is changed.
    fn renew(&self, other: &Self) -> bool {
        let is_same = self.parts == other.parts && self.tls == other.tls && self.rest == other.rest;
        if is_same {
            *self.login.write().unwrap_or_else(PoisonError::into_inner) = other.login();
        }
        is_same
    }

    /// libpq's `key='value'` form. A secret: it holds the password.
    pub(super) fn conninfo(&self) -> SecretString {
        let Parts { host, port, database, options } = &self.parts;
        let Login { user, password } = self.login();
        let mut pairs = vec![("host", host.clone())];
        pairs.extend(port.map(|it| ("port", it.to_string())));
        pairs.extend(user.map(|it| ("user", it)));
        pairs.extend(password.as_ref().map(|it| ("password", it.expose_secret().to_owned())));
        pairs.extend(database.clone().map(|it| ("dbname", it)));
        pairs.extend(options.clone().map(|it| ("options", it)));
        pairs.extend(self.tls.options());
        let defaults = [
            ("connect_timeout", CONNECT_TIMEOUT.as_secs().to_string()),
            ("keepalives_idle", "15".to_owned()),
            ("keepalives_interval", "5".to_owned()),
            ("keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", "30000".to_owned()),
            ("application_name", "starkeep".to_owned()),
        ];
        let given = |key: &str| self.rest.iter().any(|(it, _)| it == key);
        pairs.extend(defaults.into_iter().filter(|(key, _)| !given(key)));
        pairs.extend(self.rest.iter().map(|(key, value)| (key.as_str(), value.clone())));
        let text: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={}", quoted(&value))).collect();
        SecretString::from(text.join(" "))
    }

    /// The same server for tokio-postgres, as far as it knows the options.
    pub(super) fn listener(&self) -> tokio_postgres::Config {
        let Parts { host, port, database, options } = &self.parts;
        let Login { user, password } = self.login();
        let mut config = tokio_postgres::Config::new();
        config
            .host(host)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(15))
            .application_name("starkeep-listen")
            .ssl_mode(self.tls.ssl_mode());
        if let Some(port) = port {
            config.port(*port);
        }
        if let Some(user) = user {
            config.user(user);
        }
        if let Some(password) = password {
            config.password(password.expose_secret());
        }
        if let Some(database) = database {
            config.dbname(database);
        }
        if let Some(options) = options {
            config.options(options);
        }
        config
    }

    /// `text` with the password taken out, should the database have quoted it.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        match &self.login().password {
            Some(password) if !password.expose_secret().is_empty() => text.replace(password.expose_secret(), "***"),
            _ => text.to_owned(),
        }
    }
}

impl Parts {
    fn take(
        &mut self,
        key: &str,
        value: String,
        login: &mut Login,
        rest: &mut Vec<(String, String)>,
    ) -> Result<(), StoreError> {
        match key {
            "host" => self.host = value,
            "port" => {
                let port = value.parse().map_err(|_| StoreError::Address("`port` is not a port number".to_owned()))?;
                self.port = Some(port);
            }
            "user" => login.user = Some(value),
            "password" => login.password = Some(SecretString::from(value)),
            "dbname" => self.database = Some(value),
            "options" => self.options = Some(value),
            _ if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => rest.push((key.to_owned(), value)),
            _ => return Err(StoreError::Address("an option after `?` is not one of libpq's".to_owned())),
        }
        Ok(())
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|it| !it.is_empty())
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let bad = || StoreError::Address("a percent-encoded part of it is not valid".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|it| char::from(it).to_digit(16)).ok_or_else(bad);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad()).and_then(|it| if it.contains('\0') { Err(bad()) } else { Ok(it) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, StoreError> {
        Address::parse(&SecretString::from(text.to_owned()))
    }

    fn server(text: &str) -> Server {
        match parse(text).unwrap() {
            Address::Postgres(server) => *server,
            other @ Address::Sqlite(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sqlite_address_is_a_path() {
        for (text, path) in [
            ("sqlite://starkeep.db", "starkeep.db"),
            ("sqlite:///var/lib/a b.db", "/var/lib/a b.db"),
            ("sqlite:x", "x"),
        ] {
            assert!(matches!(parse(text).unwrap(), Address::Sqlite(it) if it.as_os_str() == path), "{text}");
        }
        for text in ["sqlite://", "sqlite::memory:", "sqlite://file:x", "mysql://x", "nothing"] {
            assert!(matches!(parse(text), Err(StoreError::Address(_))), "{text}");
        }
    }

    #[test]
    fn a_server_is_taken_apart_and_shown_without_its_password() {
        let it = server("postgres://me:p%40ss%27@db.example:5433/keep?sslmode=disable&connect_timeout=2");
        assert_eq!(it.shown(), "me@db.example:5433/keep");
        let info = it.conninfo();
        let info = info.expose_secret();
        assert!(info.contains(r"password='p@ss\''"), "{info}");
        assert!(info.contains("connect_timeout='2'") && !info.contains("connect_timeout='5'"), "{info}");
        assert!(!format!("{:?}", Address::Postgres(Box::new(it.clone()))).contains("ss"));
        assert_eq!(it.scrubbed("no: p@ss'!"), "no: ***!");
    }

    #[test]
    fn a_socket_stands_in_the_host_or_after_the_question_mark() {
        assert_eq!(server("postgres://u@%2Frun%2Fpg/d").shown(), "u@/run/pg/d");
        assert_eq!(server("postgresql:///d?host=/run/pg&user=u").shown(), "u@/run/pg/d");
        assert_eq!(server("postgres:///d").shown(), "localhost/d");
    }

    #[test]
    fn another_login_of_the_same_database_is_taken_by_every_copy() {
        let it = server("postgres://me:old@db:5433/keep?connect_timeout=2");
        let copy = it.clone();
        assert!(it.renew(&server("postgres://you:new@db:5433/keep?connect_timeout=2")));
        let info = copy.conninfo();
        let info = info.expose_secret();
        assert!(info.contains("user='you'") && info.contains("password='new'") && !info.contains("old"), "{info}");
        assert_eq!((copy.shown().as_str(), copy.scrubbed("new").as_str()), ("you@db:5433/keep", "***"));
        for other in ["postgres://me:x@db:5433/other?connect_timeout=2", "postgres://me:x@db:5433/keep"] {
            assert!(!it.renew(&server(other)), "{other}");
        }
        assert!(copy.conninfo().expose_secret().contains("password='new'"));
    }

    #[test]
    fn nothing_of_the_password_is_repeated() {
        for text in [
            "postgres://u:hunter2@h/d?sslmode=often",
            "postgres://u:hunter2@h/d?sslmode=verify-full",
            "postgres://u:hunter2/x@h/d",
            "postgres://u:1/hunter2@h/d",
            "postgres://u:%zzhunter2@h/d",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

//! TLS to a Postgres server: what the address asks for, and the same for the connection that listens.
//!
//! libpq reads the options by itself; tokio-postgres is given what they mean. A build without the feature
//! `postgres-tls` refuses an address that asks for TLS, so that nothing it forbids goes in clear text.

use tokio_postgres::config::SslMode;

use super::error::StoreError;

/// What an address without `sslmode` takes it from, as libpq does.
const MODE_VARIABLE: &str = "PGSSLMODE";

/// How much of TLS is wanted, in libpq's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    /// TLS where the server has it: no promise of anything.
    #[default]
    Prefer,
    /// TLS, with whoever it is.
    Require,
    /// TLS, with a certificate of the authority.
    VerifyCa,
    /// TLS, with a certificate of the authority for this very host.
    VerifyFull,
}

/// The options that both clients have to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: Option<Mode>,
    /// A file of authorities, or `system`.
    pub(super) root: Option<String>,
    /// Files of a certificate of ours and its key.
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

impl Mode {
    const ALL: [Self; 6] = [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn parse(word: &str) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or_else(|| StoreError::Address("`sslmode` is none of libpq's modes".to_owned()))
    }

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }

    /// Whether a connection in clear text would be against its words.
    fn demands(self) -> bool {
        self == Self::Require || self.verifies()
    }
}

impl Tls {
    /// Takes an option; `false` when it is none of these.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Result<bool, StoreError> {
        match key {
            "sslmode" => self.mode = Some(Mode::parse(value)?),
            "sslrootcert" => self.root = Some(value.to_owned()),
            "sslcert" => self.certificate = Some(value.to_owned()),
            "sslkey" => self.key = Some(value.to_owned()),
            "sslcrl" | "sslcrldir" => {
                let why = format!("`{key}` is not supported: the connection that listens could not obey it");
                return Err(StoreError::Address(why));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is given in the environment instead counts as well: libpq would obey it.
    pub(super) fn or_environment(self) -> Result<Self, StoreError> {
        self.or_mode(std::env::var(MODE_VARIABLE).ok().as_deref())
    }

    fn or_mode(mut self, given: Option<&str>) -> Result<Self, StoreError> {
        if self.mode.is_none() {
            self.mode = given.map(Mode::parse).transpose()?;
        }
        self.checked()
    }

    fn checked(self) -> Result<Self, StoreError> {
        let mode = self.mode();
        if mode.demands() && !cfg!(feature = "postgres-tls") {
            return Err(StoreError::Address(format!(
                "`sslmode={}` asks for TLS, which this build cannot speak to Postgres; take a release or build with \
                 `--features postgres-tls`, or connect over a private network, a unix socket or a tunnel with \
                 `sslmode=disable`",
                mode.as_str()
            )));
        }
        if mode.verifies() && self.root.is_none() {
            return Err(StoreError::Address(format!(
                "`sslmode={}` needs to know the authority: add `sslrootcert=/path/to/ca.pem`",
                mode.as_str()
            )));
        }
        Ok(self)
    }

    fn mode(&self) -> Mode {
        self.mode.unwrap_or_default()
    }

    /// What libpq is told.
    pub(super) fn options(&self) -> Vec<(&'static str, String)> {
        let Self { mode, root, certificate, key } = self;
        let mode = mode.map(|it| it.as_str().to_owned());
        let all = [
            ("sslmode", mode),
            ("sslrootcert", root.clone()),
            ("sslcert", certificate.clone()),
            ("sslkey", key.clone()),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// What tokio-postgres is told.
    pub(super) fn ssl_mode(&self) -> SslMode {
        match self.mode() {
            _ if !cfg!(feature = "postgres-tls") => SslMode::Disable,
            Mode::Disable => SslMode::Disable,
            Mode::Allow | Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }
}

/// Makes tokio-postgres's connections.
#[cfg(not(feature = "postgres-tls"))]
pub(super) fn connector(_: &Tls) -> Result<tokio_postgres::NoTls, String> {
    Ok(tokio_postgres::NoTls)
}

/// Makes tokio-postgres's connections. The files are read each time, since certificates are renewed.
#[cfg(feature = "postgres-tls")]
pub(super) fn connector(tls: &Tls) -> Result<postgres_openssl::MakeTlsConnector, String> {
    build(tls).map_err(|errors| format!("TLS could not be prepared: {errors}"))
}

#[cfg(feature = "postgres-tls")]
fn build(tls: &Tls) -> Result<postgres_openssl::MakeTlsConnector, openssl::error::ErrorStack> {
    use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
    use openssl::x509::store::X509StoreBuilder;

    let mode = tls.mode();
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    match tls.root.as_deref() {
        Some("system") => {}
        Some(file) => {
            // This authority and no other.
            builder.set_cert_store(X509StoreBuilder::new()?.build());
            builder.set_ca_file(file)?;
        }
        // As libpq has it: encrypted, with whoever it is.
        None => builder.set_verify(SslVerifyMode::NONE),
    }
    if let Some(file) = &tls.certificate {
        builder.set_certificate_chain_file(file)?;
    }
    if let Some(file) = &tls.key {
        builder.set_private_key_file(file, SslFiletype::PEM)?;
    }
    let mut connector = postgres_openssl::MakeTlsConnector::new(builder.build());
    connector.set_callback(move |it, _| {
        it.set_verify_hostname(mode == Mode::VerifyFull);
        Ok(())
    });
    Ok(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(options: &[(&str, &str)]) -> Result<Tls, StoreError> {
        let mut tls = Tls::default();
        for (key, value) in options {
            assert!(tls.take(key, value)?, "{key}");
        }
        tls.checked()
    }

    #[test]
    fn only_a_build_with_tls_takes_an_address_that_demands_it() {
        let root = ("sslrootcert", "/ca.pem");
        for mode in ["require", "verify-ca", "verify-full"] {
            let told = asked(&[("sslmode", mode), root]);
            assert_eq!(told.is_ok(), cfg!(feature = "postgres-tls"), "{mode}");
            if let Err(error) = told {
                assert!(error.to_string().contains("--features postgres-tls"), "{error}");
            }
        }
        for mode in ["disable", "allow", "prefer"] {
            assert!(asked(&[("sslmode", mode)]).is_ok(), "{mode}");
        }
        assert!(asked(&[("sslmode", "often")]).is_err());
        assert!(asked(&[("sslcrl", "/crl.pem")]).is_err());
    }

    #[test]
    fn the_environment_counts_where_the_address_says_nothing() {
        let given = |address: Option<Mode>, variable| Tls { mode: address, ..Tls::default() }.or_mode(variable);
        for variable in ["verify-full", "often", ""] {
            assert!(given(None, Some(variable)).is_err(), "{variable}");
            assert!(given(Some(Mode::Disable), Some(variable)).is_ok(), "{variable}");
        }
        assert_eq!(given(None, Some("disable")).unwrap().mode, Some(Mode::Disable));
        assert_eq!(given(None, Some("require")).is_ok(), cfg!(feature = "postgres-tls"));
        assert_eq!(given(None, None).unwrap().mode, None);
    }

    #[test]
    #[cfg(feature = "postgres-tls")]
    fn both_clients_are_told_the_same() {
        let verify = [("sslmode", "verify-full"), ("sslrootcert", "/ca.pem")];
        let tls = asked(&verify).unwrap();
        assert_eq!(tls.options(), verify.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(tls.ssl_mode(), SslMode::Require);
        assert!(asked(&verify[..1]).unwrap_err().to_string().contains("sslrootcert"));
        assert!(connector(&tls).is_err(), "there is no such file");
        assert!(connector(&asked(&[("sslmode", "require")]).unwrap()).is_ok());
        assert_eq!(asked(&[]).unwrap().ssl_mode(), SslMode::Prefer);
        assert_eq!(asked(&[("sslmode", "disable")]).unwrap().ssl_mode(), SslMode::Disable);
    }
}

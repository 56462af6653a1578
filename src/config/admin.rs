//! `admin.*`: the admin API.

use secrecy::SecretString;

use super::Section;
use super::jwt::{self, Jwt};
use super::problem::Problem;
use super::values::{Values, flag, header_problem};

/// The `admin` section.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// Bearer token of the admin API.
    pub token: Option<SecretString>,
    /// Whose tokens open it too.
    pub jwt: Option<Jwt>,
    /// Accept a plain http issuer beyond loopback.
    pub insecure_http: bool,
    /// What `jwt` is made of.
    jwt_keys: jwt::Keys,
}

impl Section for Admin {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { token, jwt, insecure_http, jwt_keys } = &mut it;
        values.set_secret("admin.token", token);
        values.set("admin.insecure_http", insecure_http, flag);
        *jwt_keys = jwt::Keys::read(values);
        *jwt = jwt_keys.together();
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { token, jwt: _, insecure_http, jwt_keys } = self;
        let token = header_problem("admin.token", token.as_ref());
        token.into_iter().chain(jwt_keys.problems(*insecure_http)).collect()
    }
}

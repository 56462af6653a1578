//! `admin.*`: the admin API.

use secrecy::SecretString;

use super::Section;
use super::problem::Problem;
use super::values::{Values, header_problem};

/// The `admin` section.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// Bearer token of the admin API.
    pub token: Option<SecretString>,
}

impl Section for Admin {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { token } = &mut it;
        values.set_secret("admin.token", token);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { token } = self;
        header_problem("admin.token", token.as_ref()).into_iter().collect()
    }
}

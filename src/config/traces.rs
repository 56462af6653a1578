//! `traces.*`: where traces of OpenTelemetry go.

use secrecy::SecretString;
use url::Url;

use super::Section;
use super::problem::Problem;
use super::rules::plain_http;
use super::values::{Values, address, flag, header_value_problem};

/// The `traces` section.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// Where a collector takes OTLP over HTTP, path included; `None` makes no traces.
    pub otlp_endpoint: Option<Url>,
    /// The whole value of the `Authorization` header that it wants.
    pub authorization: Option<SecretString>,
    /// Plain http beyond this machine.
    pub insecure_http: bool,
}

impl Section for Traces {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { otlp_endpoint, authorization, insecure_http } = &mut it;
        values.set_option("traces.otlp_endpoint", otlp_endpoint, address);
        values.set_secret("traces.authorization", authorization);
        values.set("traces.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { otlp_endpoint, authorization, insecure_http } = self;
        let plain = plain_http("traces.otlp_endpoint", otlp_endpoint.as_ref(), *insecure_http);
        plain.into_iter().chain(header_value_problem("traces.authorization", authorization.as_ref())).collect()
    }
}

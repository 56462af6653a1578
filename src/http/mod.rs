//! To come.
use crate::{config::Config, orchestrator::Stages, store::Store, telemetry::metrics::Metrics};
use futures_util::future::BoxFuture;
use std::{net::SocketAddr, sync::Arc};
#[allow(missing_docs)]
pub enum ComponentState {
    Ok,
    Degraded(String),
}
#[allow(missing_docs)]
pub struct Component {
    pub name: &'static str,
    pub probe: Arc<dyn Fn() -> BoxFuture<'static, ComponentState> + Send + Sync>,
}
impl Component {
    #[allow(missing_docs)]
    pub fn new(
        name: &'static str,
        probe: impl Fn() -> BoxFuture<'static, ComponentState> + Send + Sync + 'static,
    ) -> Self {
        Self { name, probe: Arc::new(probe) }
    }
}
#[allow(missing_docs)]
pub struct Tools {
    pub store: Store,
    pub stages: Stages,
    pub config: Config,
    pub metrics: Metrics,
    pub components: Vec<Component>,
}
#[allow(missing_docs)]
pub fn start(_: Tools, bind: SocketAddr) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    let server = actix_web::HttpServer::new(actix_web::App::new).bind(bind)?;
    let a = server.addrs()[0];
    Ok((server.run(), a))
}

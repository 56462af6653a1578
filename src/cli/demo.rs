//! To come.
use super::Given;
pub(super) async fn run(_: &Given, _: bool) -> anyhow::Result<u8> {
    Ok(0)
}

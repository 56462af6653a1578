//! Every call of the admin API, as it describes itself.

use utoipa::OpenApi;

use super::{
    add, audit, batches, catalog, change, deliveries, events, forget, history, jobs, kept, keys, mirrors, overview,
    refs, replay, stars, vanished,
};

#[derive(OpenApi)]
#[openapi(paths(
    mirrors::list,
    add::add,
    mirrors::one,
    change::change,
    forget::forget,
    change::sync,
    change::verify,
    catalog::show,
    change::catalog,
    catalog::forget,
    history::syncs,
    history::kept,
    history::lfs,
    kept::branch,
    refs::refs,
    mirrors::lists,
    mirrors::wiki,
    stars::list,
    stars::look,
    batches::ask,
    batches::one,
    vanished::list,
    vanished::answer,
    jobs::list,
    jobs::one,
    jobs::retry,
    jobs::cancel,
    deliveries::list,
    replay::several,
    deliveries::one,
    replay::one,
    overview::show,
    events::follow,
    audit::list,
    keys::list,
    keys::create,
    keys::one,
    keys::revoke,
    keys::rotate,
))]
struct Described;

/// The calls and all that they take and give, without what they have in common.
pub(in crate::http) fn described() -> utoipa::openapi::OpenApi {
    Described::openapi()
}

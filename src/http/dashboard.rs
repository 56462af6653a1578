//! `/`: the dashboard. It asks for nothing but the calls of the admin API, which it makes by a
//! [session](super::session).

use std::sync::LazyLock;

use actix_web::HttpResponse;

use super::page::Page;

/// One script, in this order.
const SCRIPT: &str = concat!(
    include_str!("dashboard/base.js"),
    include_str!("dashboard/calls.js"),
    include_str!("dashboard/parts.js"),
    include_str!("dashboard/lists.js"),
    include_str!("dashboard/live.js"),
    include_str!("dashboard/overview.js"),
    include_str!("dashboard/waiting.js"),
    include_str!("dashboard/mirrors.js"),
    include_str!("dashboard/mirror.js"),
    include_str!("dashboard/history.js"),
    include_str!("dashboard/add.js"),
    include_str!("dashboard/jobs.js"),
    include_str!("dashboard/deliveries.js"),
    include_str!("dashboard/keys.js"),
    include_str!("dashboard/door.js"),
    include_str!("dashboard/views.js"),
);

static PAGE: LazyLock<Page> =
    LazyLock::new(|| Page::new(include_str!("dashboard/page.html"), include_str!("dashboard/page.css"), SCRIPT));

/// `GET /`: the dashboard.
#[utoipa::path(get, path = "/", operation_id = "dashboard", tag = "session",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn page() -> HttpResponse {
    PAGE.answer()
}

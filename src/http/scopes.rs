//! What each call of the admin API demands: the one table of it. A call that is not in it is closed to everybody.

use actix_web::HttpRequest;

use crate::domain::api_key::Scope;

/// Where the admin API begins.
pub(super) const ROOT: &str = "/api/v1";

/// Path below [`ROOT`], what reading it demands, what changing it demands. A `HEAD` reads.
pub(super) const TABLE: &[(&str, Option<Scope>, Option<Scope>)] = &[
    ("/mirrors", READ, WRITE),
    ("/mirrors/{id}", READ, WRITE),
    ("/mirrors/{id}/sync", None, WRITE),
    ("/mirrors/{id}/verify", None, WRITE),
    ("/mirrors/{id}/catalog", READ, WRITE),
    ("/mirrors/{id}/syncs", READ, None),
    ("/mirrors/{id}/kept", READ, None),
    ("/mirrors/{id}/lfs", READ, None),
    ("/mirrors/{id}/kept/{kept}/branch", None, WRITE),
    ("/mirrors/{id}/refs", READ, None),
    ("/mirrors/{id}/lists", READ, None),
    ("/mirrors/{id}/wiki", READ, None),
    ("/stars", READ, None),
    ("/stars/{login}", None, WRITE),
    ("/batches", None, BATCHES),
    ("/batches/{id}", BATCHES, None),
    ("/vanished", READ, WRITE),
    ("/jobs", READ, None),
    ("/jobs/{id}", READ, None),
    ("/jobs/{id}/retry", None, WRITE),
    ("/jobs/{id}/cancel", None, WRITE),
    ("/deliveries", DELIVERIES, None),
    ("/deliveries/replay", None, DELIVERIES),
    ("/deliveries/{id}", DELIVERIES, None),
    ("/deliveries/{id}/replay", None, DELIVERIES),
    ("/overview", READ, None),
    ("/events", READ, None),
    ("/audit", Some(Scope::AuditRead), None),
    ("/api-keys", KEYS, KEYS),
    ("/api-keys/{id}", KEYS, KEYS),
    ("/api-keys/{id}/rotate", None, KEYS),
];

const READ: Option<Scope> = Some(Scope::MirrorsRead);
const WRITE: Option<Scope> = Some(Scope::MirrorsWrite);
const BATCHES: Option<Scope> = Some(Scope::Batches);
const DELIVERIES: Option<Scope> = Some(Scope::Deliveries);
const KEYS: Option<Scope> = Some(Scope::Keys);

/// What this request demands; `None` if nobody has decided that.
pub(super) fn demanded(request: &HttpRequest) -> Option<Scope> {
    let pattern = request.match_pattern()?;
    of(pattern.strip_prefix(ROOT)?, request.method().is_safe())
}

/// What reading or changing this path below [`ROOT`] demands.
pub(super) fn of(path: &str, is_reading: bool) -> Option<Scope> {
    let (_, reading, changing) = TABLE.iter().find(|(it, _, _)| *it == path)?;
    if is_reading { *reading } else { *changing }
}

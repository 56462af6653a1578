-- Installations of the GitHub App, as its list and its webhooks told. One that was removed stays: its account's
-- private repositories are not gone because they are not seen any more.
CREATE TABLE installations (
    id           BIGINT NOT NULL PRIMARY KEY,
    account_id   BIGINT,
    login        TEXT,
    selection    TEXT NOT NULL,
    -- JSON: permission and access.
    permissions  TEXT NOT NULL,
    suspended_at TEXT,
    deleted_at   TEXT,
    updated_at   TEXT NOT NULL
);

-- The look through an App's deliveries for missed ones: when next, who does it, and how far it has come.
CREATE TABLE recoveries (
    app_id        BIGINT NOT NULL PRIMARY KEY,
    next_at       TEXT NOT NULL,
    leased_by     TEXT,
    lease_until   TEXT,
    -- Everything sent before this was looked at.
    looked_to     TEXT,
    -- The walk under way: its newest delivery, where it ends, and its next page.
    walk_from     TEXT,
    walk_to       TEXT,
    cursor        TEXT,
    ended_at      TEXT,
    error_code    TEXT,
    error_message TEXT
);

-- Deliveries that were found missing and are still to be fetched.
CREATE TABLE missed_deliveries (
    guid         TEXT NOT NULL PRIMARY KEY,
    delivery_id  BIGINT NOT NULL,
    event        TEXT NOT NULL,
    delivered_at TEXT NOT NULL,
    -- How often it could not be fetched.
    failures     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX missed_deliveries_in_order ON missed_deliveries (delivered_at, delivery_id);

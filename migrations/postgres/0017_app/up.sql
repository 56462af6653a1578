-- Installations of the GitHub App, as its list and its webhooks told. One that was removed stays: its account's
-- private repositories are not gone because they are not seen any more.
CREATE TABLE installations (
    id           BIGINT NOT NULL PRIMARY KEY,
    account_id   BIGINT,
    login        TEXT COLLATE "C",
    selection    TEXT COLLATE "C" NOT NULL,
    -- JSON: permission and access.
    permissions  TEXT COLLATE "C" NOT NULL,
    suspended_at TEXT COLLATE "C",
    deleted_at   TEXT COLLATE "C",
    updated_at   TEXT COLLATE "C" NOT NULL
);

-- The look through an App's deliveries for missed ones: when next, who does it, and how far it has come.
CREATE TABLE recoveries (
    app_id        BIGINT NOT NULL PRIMARY KEY,
    next_at       TEXT COLLATE "C" NOT NULL,
    leased_by     TEXT COLLATE "C",
    lease_until   TEXT COLLATE "C",
    -- Everything sent before this was looked at.
    looked_to     TEXT COLLATE "C",
    -- The walk under way: its newest delivery, where it ends, and its next page.
    walk_from     TEXT COLLATE "C",
    walk_to       TEXT COLLATE "C",
    cursor        TEXT COLLATE "C",
    ended_at      TEXT COLLATE "C",
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C"
);

-- Deliveries that were found missing and are still to be fetched.
CREATE TABLE missed_deliveries (
    guid         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    delivery_id  BIGINT NOT NULL,
    event        TEXT COLLATE "C" NOT NULL,
    delivered_at TEXT COLLATE "C" NOT NULL,
    -- How often it could not be fetched.
    failures     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX missed_deliveries_in_order ON missed_deliveries (delivered_at, delivery_id);

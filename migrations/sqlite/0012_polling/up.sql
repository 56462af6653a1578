-- Whose stars are looked at, by the login of the configuration in lower case: when next, who does it, and what
-- the last look showed. Kept when a login leaves the configuration.
CREATE TABLE star_polls (
    login         TEXT NOT NULL PRIMARY KEY,
    account_id    BIGINT,
    -- What the account is called now.
    name          TEXT,
    next_at       TEXT NOT NULL,
    leased_by     TEXT,
    lease_until   TEXT,
    etag          TEXT,
    -- When GitHub last told the number of stars: an unchanged top of the list says nothing of it.
    counted_at    TEXT,
    newest_id     BIGINT,
    newest_at     TEXT,
    -- None before the whole list was read once.
    total         BIGINT,
    hidden        BIGINT NOT NULL DEFAULT 0,
    scan          BIGINT NOT NULL DEFAULT 0,
    wants_scan    BOOLEAN NOT NULL DEFAULT FALSE,
    scanned_at    TEXT,
    -- Stars that were withdrawn within a day, since when; how many more wait for an admin, since when, and
    -- whether he has said yes.
    gone          BIGINT NOT NULL DEFAULT 0,
    gone_since    TEXT,
    held          BIGINT NOT NULL DEFAULT 0,
    held_since    TEXT,
    allow_gone    BOOLEAN NOT NULL DEFAULT FALSE,
    polled_at     TEXT,
    failures      INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT,
    error_message TEXT,
    error_since   TEXT
);

-- What GitHub lists as starred, whether there is a mirror of it or not: a mirror that an admin forgot does not
-- come back by itself. scan is the last walk through the whole list that met it.
CREATE TABLE starred (
    account_id BIGINT NOT NULL,
    github_id  BIGINT NOT NULL,
    starred_at TEXT NOT NULL,
    added_at   TEXT NOT NULL,
    scan       BIGINT NOT NULL,
    PRIMARY KEY (account_id, github_id)
);
CREATE INDEX stars_by_account ON stars (account_id);

-- What GitHub said of the allowance of each credential, and the pauses it asked for.
CREATE TABLE rate_limits (
    credential   TEXT NOT NULL,
    -- core, graphql, git; all is a pause of everything.
    resource     TEXT NOT NULL,
    quota        BIGINT,
    remaining    BIGINT,
    resets_at    TEXT,
    closed_until TEXT,
    refusals     INTEGER NOT NULL DEFAULT 0,
    updated_at   TEXT NOT NULL,
    PRIMARY KEY (credential, resource)
);

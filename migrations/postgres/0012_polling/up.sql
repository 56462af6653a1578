-- Whose stars are looked at, by the login of the configuration in lower case: when next, who does it, and what
-- the last look showed. Kept when a login leaves the configuration.
CREATE TABLE star_polls (
    login         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id    BIGINT,
    -- What the account is called now.
    name          TEXT COLLATE "C",
    next_at       TEXT COLLATE "C" NOT NULL,
    leased_by     TEXT COLLATE "C",
    lease_until   TEXT COLLATE "C",
    etag          TEXT COLLATE "C",
    -- When GitHub last told the number of stars: an unchanged top of the list says nothing of it.
    counted_at    TEXT COLLATE "C",
    newest_id     BIGINT,
    newest_at     TEXT COLLATE "C",
    -- None before the whole list was read once.
    total         BIGINT,
    hidden        BIGINT NOT NULL DEFAULT 0,
    scan          BIGINT NOT NULL DEFAULT 0,
    wants_scan    BOOLEAN NOT NULL DEFAULT FALSE,
    scanned_at    TEXT COLLATE "C",
    -- Stars that were withdrawn within a day, since when; how many more wait for an admin, since when, and
    -- whether he has said yes.
    gone          BIGINT NOT NULL DEFAULT 0,
    gone_since    TEXT COLLATE "C",
    held          BIGINT NOT NULL DEFAULT 0,
    held_since    TEXT COLLATE "C",
    allow_gone    BOOLEAN NOT NULL DEFAULT FALSE,
    polled_at     TEXT COLLATE "C",
    failures      INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    error_since   TEXT COLLATE "C"
);

-- What GitHub lists as starred, whether there is a mirror of it or not: a mirror that an admin forgot does not
-- come back by itself. scan is the last walk through the whole list that met it.
CREATE TABLE starred (
    account_id BIGINT NOT NULL,
    github_id  BIGINT NOT NULL,
    starred_at TEXT COLLATE "C" NOT NULL,
    added_at   TEXT COLLATE "C" NOT NULL,
    scan       BIGINT NOT NULL,
    PRIMARY KEY (account_id, github_id)
);
CREATE INDEX stars_by_account ON stars (account_id);

-- What GitHub said of the allowance of each credential, and the pauses it asked for.
CREATE TABLE rate_limits (
    credential   TEXT COLLATE "C" NOT NULL,
    -- core, graphql, git; all is a pause of everything.
    resource     TEXT COLLATE "C" NOT NULL,
    quota        BIGINT,
    remaining    BIGINT,
    resets_at    TEXT COLLATE "C",
    closed_until TEXT COLLATE "C",
    refusals     INTEGER NOT NULL DEFAULT 0,
    updated_at   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (credential, resource)
);

-- Lists of repositories that are walked page by page, one for each batch.
CREATE TABLE listings (
    -- The batch's UUID.
    id             TEXT NOT NULL PRIMARY KEY,
    -- What is listed, as JSON.
    wanted         TEXT NOT NULL,
    -- The same key again means the same batch.
    idempotency    TEXT UNIQUE,
    dry_run        BOOLEAN NOT NULL DEFAULT FALSE,
    -- How far the walk has come, as JSON.
    walk           TEXT NOT NULL DEFAULT '{}',
    -- None when nothing is left to walk.
    next_at        TEXT,
    leased_by      TEXT,
    lease_until    TEXT,
    -- When the whole list was last read.
    whole_at       TEXT,
    failures       INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT,
    error_message  TEXT,
    error_since    TEXT,
    correlation_id TEXT NOT NULL,
    created_at     TEXT NOT NULL
);
CREATE INDEX listings_due ON listings (next_at);

-- What a list held.
CREATE TABLE listed (
    listing   TEXT NOT NULL REFERENCES listings (id) ON DELETE CASCADE,
    github_id BIGINT NOT NULL,
    owner     TEXT NOT NULL,
    name      TEXT NOT NULL,
    size_kib  BIGINT NOT NULL,
    -- new, existing, renamed, conflict: what it was when it was first met.
    finding   TEXT NOT NULL,
    PRIMARY KEY (listing, github_id)
);

-- Lists of repositories that are walked page by page, one for each batch.
CREATE TABLE listings (
    -- The batch's UUID.
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- What is listed, as JSON.
    wanted         TEXT COLLATE "C" NOT NULL,
    -- The same key again means the same batch.
    idempotency    TEXT COLLATE "C" UNIQUE,
    dry_run        BOOLEAN NOT NULL DEFAULT FALSE,
    -- How far the walk has come, as JSON.
    walk           TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    -- None when nothing is left to walk.
    next_at        TEXT COLLATE "C",
    leased_by      TEXT COLLATE "C",
    lease_until    TEXT COLLATE "C",
    -- When the whole list was last read.
    whole_at       TEXT COLLATE "C",
    failures       INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT COLLATE "C",
    error_message  TEXT COLLATE "C",
    error_since    TEXT COLLATE "C",
    correlation_id TEXT COLLATE "C" NOT NULL,
    created_at     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX listings_due ON listings (next_at);

-- What a list held.
CREATE TABLE listed (
    listing   TEXT COLLATE "C" NOT NULL REFERENCES listings (id) ON DELETE CASCADE,
    github_id BIGINT NOT NULL,
    owner     TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    size_kib  BIGINT NOT NULL,
    -- new, existing, renamed, conflict: what it was when it was first met.
    finding   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (listing, github_id)
);

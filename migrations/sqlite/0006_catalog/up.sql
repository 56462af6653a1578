-- The catalog of a mirror: its commit in OneDev, and the round of reading that is open.
CREATE TABLE catalogs (
    mirror_id      TEXT NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    generation     BIGINT NOT NULL DEFAULT 0,
    round_open     BOOLEAN NOT NULL DEFAULT FALSE,
    sweeping       BOOLEAN NOT NULL DEFAULT FALSE,
    swept_at       TEXT,
    looked_at      TEXT,
    next_at        TEXT,
    -- The commit and tree that stand in OneDev by our doing, and those about to be pushed.
    ref_name       TEXT,
    tip            TEXT,
    tree           TEXT,
    intent         TEXT,
    intent_tree    TEXT,
    commits        BIGINT NOT NULL DEFAULT 0,
    changed_at     TEXT,
    error_code     TEXT,
    error_message  TEXT,
    error_since    TEXT
);
CREATE INDEX catalogs_by_next ON catalogs (next_at);
-- Mirrors that were there before have their first catalog soon.
INSERT INTO catalogs (mirror_id, next_at)
    SELECT id, '2000-01-01T00:00:00.000000Z' FROM mirrors WHERE first_proof_at IS NOT NULL;

-- GitHub's lists, and how far each was read.
CREATE TABLE catalog_feeds (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    feed      TEXT NOT NULL,
    wanted    BOOLEAN NOT NULL,
    sweeping  BOOLEAN NOT NULL,
    since     TEXT,
    latest    TEXT,
    page      INTEGER NOT NULL,
    paged     BOOLEAN NOT NULL,
    etag      TEXT,
    etag_of   TEXT,
    done_at   TEXT,
    problem   TEXT,
    PRIMARY KEY (mirror_id, feed)
) WITHOUT ROWID;

-- Every item: its JSON (zlib), that text's name as a git object, and the name that stands in OneDev.
CREATE TABLE catalog_items (
    mirror_id  TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    id         BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    oid        TEXT NOT NULL,
    published  TEXT,
    -- The round that last saw it; a complete list that did not show it once.
    generation BIGINT NOT NULL,
    missed     BOOLEAN NOT NULL DEFAULT FALSE,
    body       BLOB NOT NULL,
    PRIMARY KEY (mirror_id, kind, id)
);
CREATE INDEX catalog_items_by_number ON catalog_items (mirror_id, number);

-- Files that hang on items, and whether they are in OneDev as LFS objects.
CREATE TABLE catalog_assets (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL,
    id        BIGINT NOT NULL,
    key       TEXT NOT NULL,
    number    BIGINT NOT NULL,
    name      TEXT NOT NULL,
    url       TEXT NOT NULL,
    size      BIGINT,
    digest    TEXT,
    is_there  BOOLEAN NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    next_at   TEXT,
    reason    TEXT,
    PRIMARY KEY (mirror_id, kind, id, key)
);
CREATE INDEX catalog_assets_open ON catalog_assets (mirror_id) WHERE is_there = FALSE;
CREATE INDEX catalog_assets_by_number ON catalog_assets (mirror_id, number);

-- What must be written anew, and pull requests whose reviews must be read.
CREATE TABLE catalog_todo (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    what      TEXT NOT NULL,
    number    BIGINT NOT NULL,
    PRIMARY KEY (mirror_id, what, number)
) WITHOUT ROWID;

-- The tree in OneDev, down to the folder of each thread: enough to write a folder anew.
CREATE TABLE catalog_entries (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    folder    TEXT NOT NULL,
    name      TEXT NOT NULL,
    is_tree   BOOLEAN NOT NULL,
    oid       TEXT NOT NULL,
    PRIMARY KEY (mirror_id, folder, name)
) WITHOUT ROWID;

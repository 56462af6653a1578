-- A mirror: one upstream (by GitHub's numeric id), its OneDev project and where both stand.
-- Times are RFC 3339 UTC with six decimals, always 27 characters, so that text order is time order.
CREATE TABLE mirrors (
    id              TEXT     NOT NULL PRIMARY KEY,
    github_id       BIGINT   NOT NULL UNIQUE,
    owner           TEXT     NOT NULL,
    name            TEXT     NOT NULL,
    named_at        TEXT     NOT NULL,
    source          TEXT     NOT NULL,
    status          TEXT     NOT NULL,
    -- What the status was before an admin paused it.
    paused_from     TEXT,
    project_id      BIGINT,
    project_path    TEXT,
    project_url     TEXT,
    -- Committed before a project is created: a project there without a marker is our own half-done work.
    intended_path   TEXT,
    -- We created the project; together with an empty first_proof_at it may be rolled back.
    made_project    BOOLEAN  NOT NULL DEFAULT FALSE,
    first_proof_at  TEXT,
    default_branch  TEXT,
    head            TEXT,
    ref_count       BIGINT,
    proof_digest    TEXT,
    verified_at     TEXT,
    onedev_digest   TEXT,
    not_level       TEXT     NOT NULL DEFAULT '[]',
    attempts        INTEGER  NOT NULL DEFAULT 0,
    error_code      TEXT,
    error_message   TEXT,
    error_since     TEXT,
    unstarred_at    TEXT,
    last_synced_at  TEXT,
    last_changed_at TEXT,
    next_sync_at    TEXT,
    created_at      TEXT     NOT NULL,
    updated_at      TEXT     NOT NULL
);
-- Names are an attribute: not unique, looked up without case, the one named last wins.
CREATE INDEX mirrors_by_name ON mirrors (lower(owner), lower(name), named_at);
CREATE INDEX mirrors_by_next_sync ON mirrors (next_sync_at);
CREATE INDEX mirrors_by_status ON mirrors (status);

-- What GitHub last told of an upstream.
CREATE TABLE upstreams (
    mirror_id      TEXT    NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    private        BOOLEAN NOT NULL,
    archived       BOOLEAN NOT NULL,
    disabled       BOOLEAN NOT NULL,
    fork           BOOLEAN NOT NULL,
    size_kib       BIGINT  NOT NULL,
    default_branch TEXT,
    description    TEXT,
    pushed_at      TEXT,
    described_at   TEXT    NOT NULL
);

-- Former names of an upstream.
CREATE TABLE mirror_names (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    owner     TEXT NOT NULL,
    name      TEXT NOT NULL,
    seen_at   TEXT NOT NULL,
    PRIMARY KEY (mirror_id, owner, name)
);

-- Where each managed ref was last put, and what is about to be put (forty zeros: about to be deleted).
CREATE TABLE tips (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    ref       TEXT NOT NULL,
    put       TEXT,
    intent    TEXT,
    PRIMARY KEY (mirror_id, ref)
) WITHOUT ROWID;

-- Tips that upstream or somebody in OneDev left behind, each under a ref of its own in the project.
CREATE TABLE kept (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    mirror_id  TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    ref        TEXT    NOT NULL,
    kept_ref   TEXT    NOT NULL,
    oid        TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    created_at TEXT    NOT NULL
);
CREATE UNIQUE INDEX kept_once ON kept (mirror_id, kept_ref);

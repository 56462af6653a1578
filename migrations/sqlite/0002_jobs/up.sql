-- Received webhooks, by GitHub's GUID.
CREATE TABLE deliveries (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    guid           TEXT    NOT NULL UNIQUE,
    event          TEXT    NOT NULL,
    action         TEXT,
    sender_id      BIGINT,
    sender_login   TEXT,
    github_id      BIGINT,
    repository     TEXT,
    outcome        TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    received_at    TEXT    NOT NULL,
    body           TEXT    NOT NULL,
    correlation_id TEXT    NOT NULL
);
CREATE INDEX deliveries_by_time ON deliveries (received_at);
CREATE INDEX deliveries_open ON deliveries (id) WHERE state = 'accepted';

-- The row is the work.
CREATE TABLE jobs (
    id             INTEGER  NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind           TEXT     NOT NULL,
    mirror_id      TEXT     REFERENCES mirrors (id) ON DELETE CASCADE,
    state          TEXT     NOT NULL,
    priority       SMALLINT NOT NULL,
    attempts       INTEGER  NOT NULL DEFAULT 0,
    crashes        INTEGER  NOT NULL DEFAULT 0,
    run_after      TEXT     NOT NULL,
    lease_until    TEXT,
    leased_by      TEXT,
    payload        TEXT     NOT NULL,
    correlation_id TEXT     NOT NULL,
    delivery_guid  TEXT,
    error_code     TEXT,
    error_message  TEXT,
    created_at     TEXT     NOT NULL,
    updated_at     TEXT     NOT NULL,
    finished_at    TEXT
);
-- One job per mirror runs at a time, on whichever process; equal waiting jobs are one.
CREATE UNIQUE INDEX jobs_one_running ON jobs (mirror_id) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_one_queued ON jobs (mirror_id, kind) WHERE state = 'queued';
CREATE INDEX jobs_due ON jobs (priority DESC, run_after, id) WHERE state = 'queued';
CREATE INDEX jobs_waiting ON jobs (run_after) WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_kind ON jobs (kind, state);
CREATE INDEX jobs_by_mirror ON jobs (mirror_id, state, kind);

-- Which jobs carry out a delivery; a coalesced job carries out several.
CREATE TABLE delivery_jobs (
    guid   TEXT   NOT NULL REFERENCES deliveries (guid) ON DELETE CASCADE,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (guid, job_id)
) WITHOUT ROWID;
CREATE INDEX delivery_jobs_by_job ON delivery_jobs (job_id);

-- History: one row a run.
CREATE TABLE syncs (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    mirror_id      TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    job_id         BIGINT,
    correlation_id TEXT    NOT NULL,
    started_at     TEXT    NOT NULL,
    finished_at    TEXT,
    outcome        TEXT    NOT NULL,
    engine         TEXT    NOT NULL,
    bytes_in       BIGINT  NOT NULL DEFAULT 0,
    bytes_out      BIGINT  NOT NULL DEFAULT 0,
    objects        BIGINT  NOT NULL DEFAULT 0,
    created        BIGINT  NOT NULL DEFAULT 0,
    moved          BIGINT  NOT NULL DEFAULT 0,
    deleted        BIGINT  NOT NULL DEFAULT 0,
    kept           BIGINT  NOT NULL DEFAULT 0,
    aliased        BIGINT  NOT NULL DEFAULT 0,
    digest         TEXT,
    error_code     TEXT,
    error_message  TEXT,
    changes        TEXT    NOT NULL DEFAULT '[]'
);
CREATE INDEX syncs_by_mirror ON syncs (mirror_id, id);
CREATE INDEX syncs_by_time ON syncs (started_at);
CREATE INDEX syncs_running ON syncs (mirror_id) WHERE outcome = 'running';

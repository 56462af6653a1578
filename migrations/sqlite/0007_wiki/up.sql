-- Since when a sync that would delete or overwrite too much waits for an admin.
ALTER TABLE mirrors ADD COLUMN held_since TEXT;

-- What a mirror holds beside its code, each in a project of its own below the mirror's: the wiki.
CREATE TABLE parts (
    mirror_id      TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    part           TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    project_id     BIGINT,
    project_path   TEXT,
    project_url    TEXT,
    -- Committed before a project is created, as with mirrors.
    intended_path  TEXT,
    made_project   BOOLEAN NOT NULL DEFAULT FALSE,
    first_proof_at TEXT,
    default_branch TEXT,
    head           TEXT,
    ref_count      BIGINT,
    proof_digest   TEXT,
    verified_at    TEXT,
    not_level      TEXT    NOT NULL DEFAULT '[]',
    error_code     TEXT,
    error_message  TEXT,
    error_since    TEXT,
    held_since     TEXT,
    looked_at      TEXT,
    next_look_at   TEXT,
    updated_at     TEXT    NOT NULL,
    PRIMARY KEY (mirror_id, part)
);
CREATE INDEX parts_by_next_look ON parts (next_look_at);

-- Tips and kept refs are those of one part. A primary key cannot be changed in place.
CREATE TABLE tips_of_parts (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    part      TEXT NOT NULL DEFAULT 'code',
    ref       TEXT NOT NULL,
    put       TEXT,
    intent    TEXT,
    PRIMARY KEY (mirror_id, part, ref)
) WITHOUT ROWID;
INSERT INTO tips_of_parts (mirror_id, ref, put, intent) SELECT mirror_id, ref, put, intent FROM tips;
DROP TABLE tips;
ALTER TABLE tips_of_parts RENAME TO tips;

ALTER TABLE kept ADD COLUMN part TEXT NOT NULL DEFAULT 'code';
DROP INDEX kept_once;
CREATE UNIQUE INDEX kept_once ON kept (mirror_id, part, kept_ref);

ALTER TABLE syncs ADD COLUMN part TEXT NOT NULL DEFAULT 'code';

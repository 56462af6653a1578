-- Since when a sync that would delete or overwrite too much waits for an admin.
ALTER TABLE mirrors ADD COLUMN held_since TEXT COLLATE "C";

-- What a mirror holds beside its code, each in a project of its own below the mirror's: the wiki.
CREATE TABLE parts (
    mirror_id      TEXT COLLATE "C" NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    part           TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,
    project_id     BIGINT,
    project_path   TEXT COLLATE "C",
    project_url    TEXT COLLATE "C",
    -- Committed before a project is created, as with mirrors.
    intended_path  TEXT COLLATE "C",
    made_project   BOOLEAN NOT NULL DEFAULT FALSE,
    first_proof_at TEXT COLLATE "C",
    default_branch TEXT COLLATE "C",
    head           TEXT COLLATE "C",
    ref_count      BIGINT,
    proof_digest   TEXT COLLATE "C",
    verified_at    TEXT COLLATE "C",
    not_level      TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    error_code     TEXT COLLATE "C",
    error_message  TEXT COLLATE "C",
    error_since    TEXT COLLATE "C",
    held_since     TEXT COLLATE "C",
    looked_at      TEXT COLLATE "C",
    next_look_at   TEXT COLLATE "C",
    updated_at     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (mirror_id, part)
);
CREATE INDEX parts_by_next_look ON parts (next_look_at);

-- Tips and kept refs are those of one part.
ALTER TABLE tips ADD COLUMN part TEXT COLLATE "C" NOT NULL DEFAULT 'code';
ALTER TABLE tips DROP CONSTRAINT tips_pkey;
ALTER TABLE tips ADD PRIMARY KEY (mirror_id, part, ref);

ALTER TABLE kept ADD COLUMN part TEXT COLLATE "C" NOT NULL DEFAULT 'code';
DROP INDEX kept_once;
CREATE UNIQUE INDEX kept_once ON kept (mirror_id, part, kept_ref);

ALTER TABLE syncs ADD COLUMN part TEXT COLLATE "C" NOT NULL DEFAULT 'code';

-- A kept ref that is to be deleted: committed before the deletion goes out.
ALTER TABLE kept ADD COLUMN doomed_at TEXT;

-- What a project says of its mirror: the commit at refs/starkeep/origin, and when the next is due.
CREATE TABLE markers (
    mirror_id  TEXT NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    marker     TEXT,
    facts      TEXT,
    written_at TEXT,
    due        TEXT
);
CREATE INDEX markers_by_due ON markers (due) WHERE due IS NOT NULL;

-- Which refs moved by our doing since the first proof: what stands now, and these in reverse, give every
-- state that was proven. NULL is absent.
CREATE TABLE ref_changes (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    mirror_id TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    ref       TEXT    NOT NULL,
    old       TEXT,
    new       TEXT,
    at        TEXT    NOT NULL
);
CREATE INDEX ref_changes_by_mirror ON ref_changes (mirror_id, id);

-- Proven states: after the change `last_change` and before the next one. A row for each proof that found
-- another state than the one before.
CREATE TABLE states (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    mirror_id   TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    at          TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    head        TEXT,
    last_change BIGINT  NOT NULL
);
CREATE INDEX states_by_mirror ON states (mirror_id, at);
CREATE INDEX states_by_time ON states (at);

-- Restore drills and what they found.
CREATE TABLE drills (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    mirror_id TEXT    NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    at        TEXT    NOT NULL,
    outcome   TEXT    NOT NULL,
    refs      BIGINT  NOT NULL,
    objects   BIGINT  NOT NULL,
    bytes     BIGINT  NOT NULL,
    millis    BIGINT  NOT NULL,
    problem   TEXT
);
CREATE INDEX drills_by_mirror ON drills (mirror_id, id);

-- What is needed to look at an upstream without git.
CREATE TABLE lookouts (
    mirror_id    TEXT NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    -- GitHub's other name for it, by which a hundred are asked for at once; none before GitHub told it.
    node_id      TEXT,
    -- When git is to look, whatever sweeps say; none is at the next look.
    next_full_at TEXT,
    -- When a sweep last found that it is not what it was.
    doubted_at   TEXT
);

-- Sweeps over many mirrors at once: when the next is due, and which process does it.
CREATE TABLE sweeps (
    name        TEXT NOT NULL PRIMARY KEY,
    next_at     TEXT NOT NULL,
    leased_by   TEXT,
    lease_until TEXT,
    -- How many in a row did not come to their end.
    failures    INTEGER NOT NULL DEFAULT 0
);

-- Mirrors whose upstream vanished, until it is back: what the brake on many at once counts and holds.
CREATE TABLE vanished (
    mirror_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    at        TEXT COLLATE "C" NOT NULL,
    -- settled: it is gone; held: it waits for an admin; confirmed: he said so, and it counts no more.
    state     TEXT COLLATE "C" NOT NULL,
    -- The owner or user of whose mirrors too many vanished; none unless it was held.
    whose     TEXT COLLATE "C"
);
CREATE INDEX vanished_by_state ON vanished (state, whose);

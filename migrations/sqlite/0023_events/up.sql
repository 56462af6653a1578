-- Steps of syncs, for whoever follows; written only while somebody does, and held for some minutes.
CREATE TABLE events (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    mirror_id TEXT NOT NULL,
    stage     TEXT NOT NULL,
    bytes     BIGINT NOT NULL
);

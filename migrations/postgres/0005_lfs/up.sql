-- LFS objects of a mirror, by what its pointer files say, and where each stands.
-- An object is `uploading` from before its first byte goes out until its end was seen.
CREATE TABLE lfs_objects (
    mirror_id   TEXT COLLATE "C" NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    oid         TEXT COLLATE "C" NOT NULL,
    size        BIGINT  NOT NULL,
    -- `pointer`: a file of the repository names it; else who brought it, and will again.
    origin      TEXT    NOT NULL DEFAULT 'pointer',
    state       TEXT    NOT NULL,
    reason      TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_try_at TEXT COLLATE "C",
    PRIMARY KEY (mirror_id, oid, size)
);
CREATE INDEX lfs_objects_open ON lfs_objects (mirror_id, state);

-- Files that begin as pointers and cannot be read, by git's id.
CREATE TABLE lfs_garbage (
    mirror_id TEXT COLLATE "C" NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    blob      TEXT COLLATE "C" NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (mirror_id, blob)
);

-- Whose packs were looked through: everything that was mirrored so far is known, or a part passed unseen.
CREATE TABLE lfs_scans (
    mirror_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES mirrors (id) ON DELETE CASCADE,
    whole     BOOLEAN NOT NULL
);

-- What people were last told of a mirror (by its id) or of a user's stars (stars/LOGIN); no row is well.
CREATE TABLE notified (
    subject   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    condition TEXT COLLATE "C" NOT NULL
);

-- Messages that are still to be sent, one for each way of sending.
CREATE TABLE notices (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    channel    TEXT COLLATE "C" NOT NULL,
    -- JSON: the digest.
    body       TEXT COLLATE "C" NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    -- Not before this; a process that sends it moves this ahead first.
    next_at    TEXT COLLATE "C" NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0
);

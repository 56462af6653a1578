-- Sessions of the dashboard. The cookie's secret is nowhere: id is its SHA-256.
CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    actor      TEXT NOT NULL,
    -- Words, in order, a space between them.
    scopes     TEXT NOT NULL,
    -- The key that it was opened with.
    key_id     TEXT,
    -- Of the admin token that it was opened with, under the cookie's secret.
    token_seal TEXT,
    -- When what it was opened with ends.
    ends_at    TEXT,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
CREATE INDEX sessions_by_actor ON sessions (actor, created_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Each opens one session, while nobody else can open any.
CREATE TABLE invitations (
    id         TEXT NOT NULL PRIMARY KEY,
    expires_at TEXT NOT NULL
);

-- Keys of the admin API. The key itself is nowhere: hash is Argon2id of it, with its parameters and salt.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL UNIQUE,
    hash         TEXT    NOT NULL,
    -- Words, in order, a space between them.
    scopes       TEXT    NOT NULL,
    created_by   TEXT    NOT NULL,
    created_at   TEXT    NOT NULL,
    expires_at   TEXT,
    revoked_at   TEXT,
    last_used_at TEXT,
    last_used_ip TEXT,
    usage_count  BIGINT  NOT NULL DEFAULT 0
);

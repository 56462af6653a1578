-- Keys of the admin API. The key itself is nowhere: hash is Argon2id of it, with its parameters and salt.
CREATE TABLE api_keys (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    prefix       TEXT COLLATE "C" NOT NULL UNIQUE,
    hash         TEXT COLLATE "C" NOT NULL,
    -- Words, in order, a space between them.
    scopes       TEXT COLLATE "C" NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    created_at   TEXT COLLATE "C" NOT NULL,
    expires_at   TEXT COLLATE "C",
    revoked_at   TEXT COLLATE "C",
    last_used_at TEXT COLLATE "C",
    last_used_ip TEXT COLLATE "C",
    usage_count  BIGINT NOT NULL DEFAULT 0
);

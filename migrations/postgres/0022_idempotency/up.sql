-- Calls of the API that were made under an Idempotency-Key, and what they were answered.
CREATE TABLE keyed_calls (
    -- SHA-256 of the caller, the route and the key.
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- SHA-256 of the query and the body.
    digest       TEXT COLLATE "C" NOT NULL,
    -- Which run of it is under way, and until when that is believed.
    holder       TEXT COLLATE "C" NOT NULL,
    held_until   TEXT COLLATE "C" NOT NULL,
    created_at   TEXT COLLATE "C" NOT NULL,
    -- The answer; no status while there is none, no body if it is not to be kept.
    status       INTEGER,
    content_type TEXT COLLATE "C",
    location     TEXT COLLATE "C",
    body         TEXT COLLATE "C"
);
CREATE INDEX keyed_calls_created_at ON keyed_calls (created_at);

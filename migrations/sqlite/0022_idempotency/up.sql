-- Calls of the API that were made under an Idempotency-Key, and what they were answered.
CREATE TABLE keyed_calls (
    -- SHA-256 of the caller, the route and the key.
    id           TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the query and the body.
    digest       TEXT NOT NULL,
    -- Which run of it is under way, and until when that is believed.
    holder       TEXT NOT NULL,
    held_until   TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    -- The answer; no status while there is none, no body if it is not to be kept.
    status       INTEGER,
    content_type TEXT,
    location     TEXT,
    body         TEXT
);
CREATE INDEX keyed_calls_created_at ON keyed_calls (created_at);

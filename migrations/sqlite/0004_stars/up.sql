-- Which watched accounts star a mirror's upstream: it is let go only when the last of them did.
CREATE TABLE stars (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL,
    starred_at TEXT NOT NULL,
    PRIMARY KEY (mirror_id, account_id)
);

-- Which watched accounts star a mirror's upstream: it is let go only when the last of them did.
CREATE TABLE stars (
    mirror_id TEXT COLLATE "C" NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL,
    starred_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (mirror_id, account_id)
);

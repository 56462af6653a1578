-- When the lists of a user's stars were read, by the account's id, and when they will be.
CREATE TABLE list_readings (
    account_id    BIGINT NOT NULL PRIMARY KEY,
    -- The last whole reading; none before the first.
    read_at       TEXT COLLATE "C",
    next_at       TEXT COLLATE "C" NOT NULL,
    failures      INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    error_since   TEXT COLLATE "C"
);

-- The lists, in the order of each user's page.
CREATE TABLE star_lists (
    account_id BIGINT NOT NULL,
    -- GitHub's own name for it, which a renamed list keeps.
    list_id    TEXT COLLATE "C" NOT NULL,
    place      INTEGER NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    slug       TEXT COLLATE "C" NOT NULL,
    private    BOOLEAN NOT NULL,
    -- What stands for it in the path of a project.
    folder     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, list_id)
);

-- What is in them, whether there is a mirror of it or not.
CREATE TABLE star_listed (
    account_id BIGINT NOT NULL,
    list_id    TEXT COLLATE "C" NOT NULL,
    github_id  BIGINT NOT NULL,
    PRIMARY KEY (account_id, list_id, github_id),
    FOREIGN KEY (account_id, list_id) REFERENCES star_lists (account_id, list_id) ON DELETE CASCADE
);
CREATE INDEX star_listed_by_repository ON star_listed (github_id);

-- Repositories whose lists changed, until their mirrors were told.
CREATE TABLE list_news (
    github_id BIGINT NOT NULL PRIMARY KEY
);

-- Labels that lists gave to a mirror's project in OneDev.
CREATE TABLE list_labels (
    mirror_id  TEXT COLLATE "C" NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    name       TEXT COLLATE "C" NOT NULL,
    spec_id    BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    -- It was not there before; such a one is taken away again.
    ours       BOOLEAN NOT NULL,
    -- False while it is about to be put on the project.
    is_there   BOOLEAN NOT NULL,
    PRIMARY KEY (mirror_id, name)
);

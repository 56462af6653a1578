-- Who did what, when, to what. Append only: the triggers hold it against our own code too.
CREATE TABLE audit (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at             TEXT    NOT NULL,
    actor          TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    detail         TEXT    NOT NULL DEFAULT '{}',
    correlation_id TEXT,
    address        TEXT
);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append only');
END;

-- The numeric id behind each watched login. Two logins may be one account: the old one and the new.
CREATE TABLE watched (
    login      TEXT   NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL
);
CREATE INDEX watched_by_account ON watched (account_id);

-- Small facts the service remembers about itself.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Each entry of the audit log gets a place in a chain (seq) and the hash over its content and the hash before it.
-- Both are empty until the housekeeping has come by, and written once.
ALTER TABLE audit ADD COLUMN seq BIGINT;
ALTER TABLE audit ADD COLUMN hash TEXT;
CREATE UNIQUE INDEX audit_by_seq ON audit (seq);
CREATE INDEX audit_unchained ON audit (id) WHERE hash IS NULL;

-- Where the chain ends (head), and what it goes on from once its older part was given up (anchor).
CREATE TABLE audit_ends (
    name TEXT   NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT   NOT NULL
);
INSERT INTO audit_ends (name, seq, hash) VALUES
    ('head', 0, '0000000000000000000000000000000000000000000000000000000000000000'),
    ('anchor', 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- An entry may be chained once, and deleted once the anchor has taken its place.
DROP TRIGGER audit_no_update;
DROP TRIGGER audit_no_delete;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
WHEN OLD.hash IS NOT NULL OR NEW.hash IS NULL OR NEW.seq IS NULL OR NEW.id IS NOT OLD.id OR NEW.at IS NOT OLD.at
    OR NEW.actor IS NOT OLD.actor OR NEW.action IS NOT OLD.action OR NEW.subject IS NOT OLD.subject
    OR NEW.outcome IS NOT OLD.outcome OR NEW.detail IS NOT OLD.detail
    OR NEW.correlation_id IS NOT OLD.correlation_id OR NEW.address IS NOT OLD.address
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
WHEN OLD.seq IS NULL OR OLD.seq > (SELECT seq FROM audit_ends WHERE name = 'anchor')
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append only');
END;

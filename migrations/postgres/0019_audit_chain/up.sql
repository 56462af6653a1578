-- Each entry of the audit log gets a place in a chain (seq) and the hash over its content and the hash before it.
-- Both are empty until the housekeeping has come by, and written once.
ALTER TABLE audit ADD COLUMN seq BIGINT;
ALTER TABLE audit ADD COLUMN hash TEXT COLLATE "C";
CREATE UNIQUE INDEX audit_by_seq ON audit (seq);
CREATE INDEX audit_unchained ON audit (id) WHERE hash IS NULL;

-- Where the chain ends (head), and what it goes on from once its older part was given up (anchor).
CREATE TABLE audit_ends (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL
);
INSERT INTO audit_ends (name, seq, hash) VALUES
    ('head', 0, '0000000000000000000000000000000000000000000000000000000000000000'),
    ('anchor', 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- An entry may be chained once, and deleted once the anchor has taken its place.
DROP TRIGGER audit_no_update ON audit;
DROP TRIGGER audit_no_delete ON audit;
CREATE FUNCTION audit_goes_only_behind_the_anchor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.seq IS NULL OR OLD.seq > (SELECT seq FROM audit_ends WHERE name = 'anchor') THEN
        RAISE EXCEPTION 'the audit log is append only';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit FOR EACH ROW
WHEN (OLD.hash IS NOT NULL OR NEW.hash IS NULL OR NEW.seq IS NULL
    OR (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.subject, NEW.outcome, NEW.detail, NEW.correlation_id, NEW.address)
    IS DISTINCT FROM
    (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.subject, OLD.outcome, OLD.detail, OLD.correlation_id, OLD.address))
EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit FOR EACH ROW
EXECUTE FUNCTION audit_goes_only_behind_the_anchor();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

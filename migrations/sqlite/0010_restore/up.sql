-- Proven states and the moves between them are those of one part.
ALTER TABLE ref_changes ADD COLUMN part TEXT NOT NULL DEFAULT 'code';
DROP INDEX ref_changes_by_mirror;
CREATE INDEX ref_changes_by_mirror ON ref_changes (mirror_id, part, id);
ALTER TABLE states ADD COLUMN part TEXT NOT NULL DEFAULT 'code';
DROP INDEX states_by_mirror;
CREATE INDEX states_by_mirror ON states (mirror_id, part, at);
-- Wikis that were mirrored before: no move of theirs is known yet, so they stand as they were proven.
INSERT INTO states (mirror_id, part, at, digest, head, last_change)
    SELECT mirror_id, part, verified_at, proof_digest, 'refs/heads/' || default_branch, 0 FROM parts
    WHERE proof_digest IS NOT NULL AND verified_at IS NOT NULL;

-- Which commit of the catalog stands in OneDev since when.
CREATE TABLE catalog_commits (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    at        TEXT NOT NULL,
    oid       TEXT NOT NULL,
    PRIMARY KEY (mirror_id, at)
) WITHOUT ROWID;
INSERT INTO catalog_commits (mirror_id, at, oid)
    SELECT mirror_id, changed_at, tip FROM catalogs WHERE tip IS NOT NULL AND changed_at IS NOT NULL;

-- LFS objects that a drill read, and those that it only asked for.
ALTER TABLE drills ADD COLUMN lfs_objects BIGINT NOT NULL DEFAULT 0;
ALTER TABLE drills ADD COLUMN lfs_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE drills ADD COLUMN lfs_unread BIGINT NOT NULL DEFAULT 0;

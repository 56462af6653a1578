ALTER TABLE drills DROP COLUMN lfs_unread;
ALTER TABLE drills DROP COLUMN lfs_bytes;
ALTER TABLE drills DROP COLUMN lfs_objects;

DROP TABLE catalog_commits;

DELETE FROM states WHERE part <> 'code';
DROP INDEX states_by_mirror;
ALTER TABLE states DROP COLUMN part;
CREATE INDEX states_by_mirror ON states (mirror_id, at);
DELETE FROM ref_changes WHERE part <> 'code';
DROP INDEX ref_changes_by_mirror;
ALTER TABLE ref_changes DROP COLUMN part;
CREATE INDEX ref_changes_by_mirror ON ref_changes (mirror_id, id);

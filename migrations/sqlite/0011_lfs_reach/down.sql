ALTER TABLE lfs_scans DROP COLUMN elsewhere;
ALTER TABLE lfs_scans DROP COLUMN searched_at;
ALTER TABLE lfs_scans DROP COLUMN doubted;
ALTER TABLE lfs_objects DROP COLUMN reachable;

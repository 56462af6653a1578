-- Whether a ref of upstream still needs an object: one that none does is not missed when it cannot be had.
ALTER TABLE lfs_objects ADD COLUMN reachable BOOLEAN NOT NULL DEFAULT TRUE;
-- Refs went, or were forced, since it was last asked which objects the others need; and when that was.
ALTER TABLE lfs_scans ADD COLUMN doubted BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE lfs_scans ADD COLUMN searched_at TEXT;
-- Where upstream's `.lfsconfig` says that objects are kept; empty: at upstream itself. Unknown until asked.
ALTER TABLE lfs_scans ADD COLUMN elsewhere TEXT;

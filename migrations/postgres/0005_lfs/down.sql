DROP TABLE lfs_scans;
DROP TABLE lfs_garbage;
DROP TABLE lfs_objects;

DROP TABLE drills;
DROP TABLE states;
DROP TABLE ref_changes;
DROP TABLE markers;
ALTER TABLE kept DROP COLUMN doomed_at;

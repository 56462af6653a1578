DROP TABLE settings;
DROP TABLE watched;
DROP TRIGGER audit_no_delete;
DROP TRIGGER audit_no_update;
DROP TABLE audit;

DROP TABLE settings;
DROP TABLE watched;
DROP TABLE audit;
DROP FUNCTION audit_is_append_only();

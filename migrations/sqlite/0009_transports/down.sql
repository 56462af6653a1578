ALTER TABLE upstreams DROP COLUMN network_id;

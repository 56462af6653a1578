DELETE FROM syncs WHERE part <> 'code';
ALTER TABLE syncs DROP COLUMN part;

DELETE FROM kept WHERE part <> 'code';
DROP INDEX kept_once;
ALTER TABLE kept DROP COLUMN part;
CREATE UNIQUE INDEX kept_once ON kept (mirror_id, kept_ref);

DELETE FROM tips WHERE part <> 'code';
ALTER TABLE tips DROP CONSTRAINT tips_pkey;
ALTER TABLE tips DROP COLUMN part;
ALTER TABLE tips ADD PRIMARY KEY (mirror_id, ref);

DROP TABLE parts;
DELETE FROM jobs WHERE kind = 'wiki';
ALTER TABLE mirrors DROP COLUMN held_since;

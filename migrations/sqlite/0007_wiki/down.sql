DELETE FROM syncs WHERE part <> 'code';
ALTER TABLE syncs DROP COLUMN part;

DELETE FROM kept WHERE part <> 'code';
DROP INDEX kept_once;
ALTER TABLE kept DROP COLUMN part;
CREATE UNIQUE INDEX kept_once ON kept (mirror_id, kept_ref);

CREATE TABLE tips_of_code (
    mirror_id TEXT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    ref       TEXT NOT NULL,
    put       TEXT,
    intent    TEXT,
    PRIMARY KEY (mirror_id, ref)
) WITHOUT ROWID;
INSERT INTO tips_of_code (mirror_id, ref, put, intent)
    SELECT mirror_id, ref, put, intent FROM tips WHERE part = 'code';
DROP TABLE tips;
ALTER TABLE tips_of_code RENAME TO tips;

DROP TABLE parts;
DELETE FROM jobs WHERE kind = 'wiki';
ALTER TABLE mirrors DROP COLUMN held_since;

-- A source of the configuration, which is read again and again; one that the configuration has no more is due no more.
ALTER TABLE listings ADD COLUMN declared BOOLEAN NOT NULL DEFAULT FALSE;

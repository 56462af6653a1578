ALTER TABLE listings DROP COLUMN declared;

DROP TABLE rate_limits;
DROP INDEX stars_by_account;
DROP TABLE starred;
DROP TABLE star_polls;

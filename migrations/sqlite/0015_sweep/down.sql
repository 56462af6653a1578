DROP TABLE sweeps;
DROP TABLE lookouts;

DROP TABLE kept;
DROP TABLE tips;
DROP TABLE mirror_names;
DROP TABLE upstreams;
DROP TABLE mirrors;

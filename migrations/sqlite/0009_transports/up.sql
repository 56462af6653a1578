-- The repository that a fork's network comes from, by GitHub's id: forks of one network share a cache.
ALTER TABLE upstreams ADD COLUMN network_id BIGINT;

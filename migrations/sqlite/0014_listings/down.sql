DROP TABLE listed;
DROP TABLE listings;

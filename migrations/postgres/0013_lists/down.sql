DROP TABLE list_labels;
DROP TABLE list_news;
DROP INDEX listed_by_repository;
DROP TABLE listed;
DROP TABLE star_lists;
DROP TABLE list_readings;

DROP TABLE list_labels;
DROP TABLE list_news;
DROP INDEX star_listed_by_repository;
DROP TABLE star_listed;
DROP TABLE star_lists;
DROP TABLE list_readings;

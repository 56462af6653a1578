DROP TABLE catalog_entries;
DROP TABLE catalog_todo;
DROP TABLE catalog_assets;
DROP TABLE catalog_items;
DROP TABLE catalog_feeds;
DROP TABLE catalogs;

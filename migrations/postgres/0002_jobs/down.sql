DROP TABLE syncs;
DROP TABLE delivery_jobs;
DROP TABLE jobs;
DROP TABLE deliveries;

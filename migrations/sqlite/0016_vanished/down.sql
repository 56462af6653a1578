DROP TABLE vanished;

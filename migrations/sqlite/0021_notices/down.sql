DROP TABLE notices;
DROP TABLE notified;

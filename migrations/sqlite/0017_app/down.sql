DROP INDEX missed_deliveries_in_order;
DROP TABLE missed_deliveries;
DROP TABLE recoveries;
DROP TABLE installations;

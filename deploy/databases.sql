-- Run once by the PostgreSQL image on an empty volume: one database for each who keeps state there.
CREATE DATABASE airflow;
CREATE DATABASE ledger;
CREATE DATABASE mlflow;

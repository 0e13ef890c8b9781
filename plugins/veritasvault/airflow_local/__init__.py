"""Airflow on one machine, for trying, developing and testing: no Docker, no server to start by hand."""

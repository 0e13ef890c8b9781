"""The console: what people see of the registry, and decide, inside Airflow."""

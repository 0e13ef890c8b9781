"""An Airflow DAG that raises alarms on sessions when moves of share prices are unusual."""

from veritasvault.tasks import ingest, model_pipeline, prepare, register, train, validate


@model_pipeline("market_anomaly.toml")
def market_anomaly(spec: str) -> None:
    features = prepare(spec, ingest(spec))
    register(spec, train(spec, features), validate(spec, features))

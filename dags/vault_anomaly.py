"""An Airflow DAG that raises alarms on days when a vault's flows look like an attack."""

from veritasvault.tasks import ingest, model_pipeline, prepare, register, train, validate


@model_pipeline("vault_anomaly.toml")
def vault_anomaly(spec: str) -> None:
    features = prepare(spec, ingest(spec))
    register(spec, train(spec, features), validate(spec, features))

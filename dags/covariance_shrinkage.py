"""An Airflow DAG that estimates the covariance of all assets' daily returns, for portfolio construction."""

from veritasvault.tasks import ingest, model_pipeline, prepare, register, train, validate


@model_pipeline("covariance_shrinkage.toml")
def covariance_shrinkage(spec: str) -> None:
    features = prepare(spec, ingest(spec))
    register(spec, train(spec, features), validate(spec, features))

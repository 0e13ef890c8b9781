"""An Airflow DAG that forecasts each asset's realised volatility over its next five sessions."""

from veritasvault.tasks import ingest, model_pipeline, prepare, register, train, validate


@model_pipeline("volatility_forecast.toml")
def volatility_forecast(spec: str) -> None:
    features = prepare(spec, ingest(spec))
    register(spec, train(spec, features), validate(spec, features))

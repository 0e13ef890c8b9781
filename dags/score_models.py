"""An Airflow DAG that writes what each champion forecasts for the last session."""

from veritasvault.tasks import champions, model_scoring, score


@model_scoring
def score_models(specs: list[str]) -> None:
    """Forecast on the last session by every champion, each verified before it is opened, on every worker.

    The forecasts are kept at their content's address: a run that is repeated finds or makes the same ones.
    `veritas forecasts NAME` shows them.
    """
    score.expand(spec=champions(specs))

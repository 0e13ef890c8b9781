"""An Airflow DAG that watches champions: is what they see, forecast and are worth still as in training?"""

from airflow.sdk import task_group

from veritasvault.tasks import champions, model_monitoring, monitor, require_no_drift


@model_monitoring
def monitor_models(specs: list[str]) -> None:
    """Compare each champion's last sessions with those it was trained on.

    The result is an event in the ledger and a report. Drift fails the run, so that people are told, and
    starts a retraining of the model, once for each drift. That gives a challenger; the champion stays.
    """

    @task_group  # type: ignore[untyped-decorator]
    def monitoring(spec: str) -> None:
        require_no_drift(monitor(spec))

    monitoring.expand(spec=champions(specs))

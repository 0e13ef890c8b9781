"""An Airflow DAG that trains a registered version again from its own record, and compares."""

from veritasvault.tasks import model_reproduction, reproduce, require_reproduced


@model_reproduction
def reproduce_model() -> None:
    """Train a version again, with its own snapshot, code, environment, parameters and seed.

    The result is an event in the ledger, and a report says which stage first differs and by how much. The run
    fails if the version was not reproduced. Nothing else in the registry changes.
    """
    require_reproduced(reproduce())

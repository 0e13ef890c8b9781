"""Who asks, and whether Airflow's auth manager lets them: everybody who reads DAGs may read here.

Whether a person may decide is for the domain to say; Airflow has to let them trigger the promotion, too.
"""

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends

from domain.registry.errors import NotPermitted

PROMOTE = "promote_model"
"""The DAG that a person has to be allowed to trigger to decide on models."""


def reader(user: GetUserDep) -> Any:
    """The user, if they may read DAGs. Raises NotPermitted."""
    # Not `requires_access_dag`: that takes the DAG from the query, where the user may write what they like.
    if not get_auth_manager().is_authorized_dag(method="GET", user=user):
        raise NotPermitted(f"{user.get_name()} may not read DAGs in Airflow: ask an administrator for access")
    return user


def may_decide(user: Any) -> bool:
    """Whether Airflow lets a user trigger the DAG that promotes."""
    return _may("POST", user, DagAccessEntity.RUN, PROMOTE)


def may_read_logs(user: Any, dag_id: str) -> bool:
    """Whether Airflow lets a user read the logs of a DAG's tasks."""
    return _may("GET", user, DagAccessEntity.TASK_LOGS, dag_id)


def refusal(user: Any) -> str | None:
    """Why a user may decide nothing at all; None if Airflow has nothing against it."""
    if may_decide(user):
        return None
    return f"{user.get_name()} may not trigger {PROMOTE} in Airflow: ask an administrator for access"


def run_reader(dag_id: str, user: Annotated[Any, Depends(reader)]) -> Any:
    """The user, if they may see the runs of the DAG in the path. Raises NotPermitted."""
    if not _may("GET", user, DagAccessEntity.RUN, dag_id):
        raise NotPermitted(f"{user.get_name()} may not see the runs of {dag_id} in Airflow")
    return user


def decider(user: Annotated[Any, Depends(reader)]) -> Any:
    """The user, if they may decide as far as Airflow is concerned. Raises NotPermitted."""
    if (reason := refusal(user)) is not None:
        raise NotPermitted(reason)
    return user


def _may(method: str, user: Any, entity: DagAccessEntity, dag_id: str) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    answer = get_auth_manager().is_authorized_dag(
        method=method, access_entity=entity, details=details, user=user
    )
    return bool(answer)


Reader = Annotated[Any, Depends(reader)]
RunReader = Annotated[Any, Depends(run_reader)]
Decider = Annotated[Any, Depends(decider)]

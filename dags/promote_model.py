"""An Airflow DAG that decides on challengers: compared with the champion, approved by people, promoted."""

from airflow.sdk import task_group

from veritasvault.tasks import approval, challenged, model_promotions, promote, review


@model_promotions
def promote_model(specs: list[str]) -> None:
    """Decide on every model's challenger, each by itself.

    By risk tier one or two people are asked under "Required Actions". An answer counts for the champion and
    the evidence that it names; nobody answers for what they own, wrote or triggered.
    """

    @task_group  # type: ignore[untyped-decorator]
    def decision(spec: str) -> None:
        proposal = review(spec)
        answers = [approval("model_validator", proposal), approval("risk_officer", proposal)]
        proposal >> answers >> promote(proposal)

    decision.expand(spec=challenged(specs))

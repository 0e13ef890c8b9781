"""An Airflow DAG that verifies the registry every day, and tells people if something differs."""

from veritasvault.tasks import audit, registry_audit


@registry_audit
def audit_registry() -> None:
    """Verify the whole ledger and a share of the stored models; each model has its turn within a month.

    The result is in the ledger, its checkpoint goes to the witnesses, and a run that finds anything changed
    or missing fails with the names of the objects.
    """
    audit()

"""Task adapters: references in, one call of the domain, references out."""

from veritasvault.tasks.alerts import alerts
from veritasvault.tasks.audit import audit
from veritasvault.tasks.dags import (
    model_monitoring,
    model_pipeline,
    model_promotions,
    model_reproduction,
    registry_audit,
)
from veritasvault.tasks.monitoring import champions, monitor, require_no_drift
from veritasvault.tasks.promotion import approval, challenged, promote, review
from veritasvault.tasks.reproduction import reproduce, require_reproduced
from veritasvault.tasks.scoring import score
from veritasvault.tasks.scoring_dag import model_scoring
from veritasvault.tasks.steps import ingest, prepare, register, train, validate

__all__ = [
    "alerts",
    "approval",
    "audit",
    "challenged",
    "champions",
    "ingest",
    "model_monitoring",
    "model_pipeline",
    "model_promotions",
    "model_reproduction",
    "model_scoring",
    "monitor",
    "prepare",
    "promote",
    "register",
    "registry_audit",
    "reproduce",
    "require_no_drift",
    "require_reproduced",
    "review",
    "score",
    "train",
    "validate",
]

"""Task adapters: references in, one call of the domain, references out."""

from veritasvault.tasks.dags import model_pipeline, model_promotions
from veritasvault.tasks.promotion import approval, challenged, promote, review
from veritasvault.tasks.steps import ingest, prepare, register, train, validate

__all__ = [
    "approval",
    "challenged",
    "ingest",
    "model_pipeline",
    "model_promotions",
    "prepare",
    "promote",
    "register",
    "review",
    "train",
    "validate",
]

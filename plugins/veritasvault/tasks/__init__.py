"""Task adapters: references in, one call of the domain, references out."""

from veritasvault.tasks.dags import model_pipeline
from veritasvault.tasks.steps import ingest, prepare, register, train, validate

__all__ = ["ingest", "model_pipeline", "prepare", "register", "train", "validate"]

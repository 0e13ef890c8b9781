"""Verified models for services, in one line: `veritas.load("volatility_forecast@champion")`.

Importing this costs next to nothing; what verifies and predicts is imported by the first `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.registry.errors import (
    DomainException,
    IntegrityError,
    InvalidInput,
    NotFound,
    NotPermitted,
    NotVerified,
    Unavailable,
)

if TYPE_CHECKING:
    from pathlib import Path

    from veritasvault.serving.model import Model

__all__ = [
    "DomainException",
    "IntegrityError",
    "InvalidInput",
    "NotFound",
    "NotPermitted",
    "NotVerified",
    "Unavailable",
    "load",
]


def load(reference: str, *, cache: Path | str | None = None, cache_bytes: int = 10 << 30) -> Model:
    """A registered version, verified before anything of it is opened, and kept for the next time.

    Where registry, ledger and public keys are is said by the `VERITAS_*` variables. Many processes may share
    a cache.

    Args:
        reference: NAME@VERSION, a model id, or NAME@ with `champion`, `challenger` or `latest`, which are
            what the ledger says at this moment.
        cache: directory for verified copies; None takes `cache` in VERITAS_HOME.
        cache_bytes: how much may be kept; the copies that were used least recently go first.

    Raises:
        InvalidInput: the text is no reference, or ONNX Runtime cannot open the model.
        NotFound: there is no such version, or nobody holds the alias now.
        NotPermitted: the version is retired.
        NotVerified: signature, checkpoint or entry does not hold or is missing.
        IntegrityError: the registry's files are not those that were registered.
        Unavailable: the version is not in the cache and registry or ledger cannot be read, or it is named by
            an alias and the ledger cannot be read.
    """
    from veritasvault.bootstrap import bootstrap

    return bootstrap().model_loader(cache, cache_bytes).load(reference)

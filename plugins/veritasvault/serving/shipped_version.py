"""A version as it travels to workers: its id, and where its verified copy and the public keys are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.manifest import ModelId

if TYPE_CHECKING:
    from domain.risk.training_set import Floats


@dataclass(frozen=True, slots=True)
class ShippedVersion:
    """A `ShippedVersionPort`: workers verify the copy with public keys alone, before they open it.

    They need neither registry nor ledger, nor anybody's credentials. That the version is what its reference
    names was proved where it was shipped from.

    Attributes:
        cache, keys: directories that workers reach, see `ModelLoader` and `Settings.keys`.
    """

    reference: str
    model_id: ModelId
    cache: Path
    keys: Path

    def forecast(self, features: Floats, names: Sequence[str]) -> Floats:
        """See the port."""
        from veritasvault.adapters.public_keys_only import PublicKeysOnly
        from veritasvault.serving.copy_check import PROOF, verify_copy
        from veritasvault.serving.model import predictor_of
        from veritasvault.serving.model_cache import ModelCache
        from veritasvault.serving.registered_forecasts import forecast_rows

        trusted = PublicKeysOnly(self.keys).public_keys()
        # It only looks: what is removed to make room is decided where copies are made.
        copies = ModelCache(self.cache, limit=0, finished=PROOF)
        copy, verified = copies.get(
            self.model_id, lambda place: verify_copy(place, self.model_id, trusted), self._missing
        )
        try:
            predictor = predictor_of(verified)
            if isinstance(predictor, InvalidInput):
                raise predictor
            return forecast_rows(predictor.predict, self.reference, features, names)
        finally:
            copy.release()

    def _missing(self, _: Path) -> NoReturn:
        raise Unavailable(
            f"a worker does not find {self.reference} in {self.cache} as it was verified: it was changed or "
            "removed, or the worker does not reach it; the next try fetches it anew"
        )

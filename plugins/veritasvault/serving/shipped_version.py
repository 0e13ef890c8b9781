"""A version as it travels to workers: a copy with what proves it, and the public keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from domain.registry.errors import InvalidInput
from domain.registry.manifest import ModelId
from domain.registry.ports import PublicKey

if TYPE_CHECKING:
    from domain.risk.training_set import Floats
    from veritasvault.serving.model import Model


@dataclass(frozen=True, slots=True)
class ShippedVersion:
    """A `ShippedVersionPort`: workers verify the copy with public keys alone, before they open it.

    They need neither registry nor ledger, nor anybody's credentials, nor a directory in common. That the
    version is what its reference names was proved where it was shipped from.

    Attributes:
        files: of the copy, by their path in it; its proof is among them.
        trusted: the public keys of the registry's checkpoints.
    """

    reference: str
    model_id: ModelId
    files: tuple[tuple[str, bytes], ...]
    trusted: tuple[PublicKey, ...]

    @classmethod
    def of(cls, model: Model, trusted: tuple[PublicKey, ...]) -> Self:
        """The version of a loaded model."""
        root = model.copy
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        files = tuple((path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)
        return cls(f"{model.name}@{model.version}", model.model_id, files, trusted)

    def forecast(self, features: Floats, names: Sequence[str]) -> Floats:
        """See the port."""
        from veritasvault.serving.copy_check import verify_copy
        from veritasvault.serving.model import predictor_of
        from veritasvault.serving.registered_forecasts import forecast_rows

        with TemporaryDirectory(prefix="veritas-version-") as directory:
            for name, content in self.files:
                place = Path(directory) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            predictor = predictor_of(verify_copy(Path(directory), self.model_id, self.trusted))
        if isinstance(predictor, InvalidInput):
            raise predictor
        return forecast_rows(predictor.predict, self.reference, features, names)

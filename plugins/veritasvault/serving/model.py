"""What `veritas.load` returns: a verified version that predicts, and says what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from domain.registry.events import ModelRegisteredEvent
from domain.registry.ledger.receipt import Receipt
from domain.registry.manifest import Manifest, ModelId
from domain.registry.metadata import ModelMetadata
from veritasvault.adapters.onnx_artifact import onnx_file
from veritasvault.serving.copy_check import ARTIFACT, Verified, copy_verified
from veritasvault.serving.model_cache import CachedCopy

if TYPE_CHECKING:
    from veritasvault.serving.onnx_predictor import OnnxPredictor

_LOADERS = {
    ".skops": "skops.io.load, with the types you trust",
    ".safetensors": "the safetensors package of your framework",
    ".pb": "tensorflow.saved_model.load",
    ".json": "the library that wrote it, such as xgboost",
}


class Model:
    """A registered version whose every byte was verified when it was loaded.

    Its files stay in the cache as long as this object lives, or until `close`.

    Attributes:
        reference: as it was asked for.
        event: the ledger entry's event that registered it, with gates and provenance.
        manifest: metadata, lineage and the digests of the files.
        receipt: that the event is in the ledger, under a signed checkpoint.
        confirmed: whether the ledger was asked when this was loaded; False if it could not be reached.
    """

    def __init__(
        self,
        reference: str,
        copy: CachedCopy,
        verified: Verified,
        refreshed: Callable[[Model], Model],
        *,
        confirmed: bool,
    ) -> None:
        self.reference = reference
        self.event: ModelRegisteredEvent = verified.event
        self.manifest: Manifest = verified.manifest
        self.receipt: Receipt = verified.receipt
        self.confirmed = confirmed
        self._copy = copy
        self._refreshed = refreshed
        self._predictor = predictor_of(verified)
        self._contents = verified.contents

    @property
    def name(self) -> str:
        return self.event.name

    @property
    def version(self) -> int:
        return self.event.version

    @property
    def model_id(self) -> ModelId:
        return self.event.model_id

    @property
    def metadata(self) -> ModelMetadata:
        return self.manifest.metadata

    @property
    def index(self) -> int:
        """The place of the registration in the ledger."""
        return self.receipt.index

    @property
    def path(self) -> Path:
        """The directory of the version's files, for formats that `predict` does not run.

        They were verified when this was loaded, and whoever may write to the cache could change them before
        they are opened; `predict` runs the very bytes that were verified.
        """
        return self.copy / ARTIFACT

    @property
    def copy(self) -> Path:
        """The directory of the verified copy: the version's files, and what proves them."""
        return self._copy.path

    def predict(self, data: Any) -> Any:
        """What the model says of each row of a frame or an array, see `OnnxPredictor.predict`.

        Raises:
            InvalidInput: the version is not one ONNX file, ONNX Runtime is not installed, or the data does
                not fit.
        """
        return self._running().predict(data)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that `predict` takes, in their order; empty where no signature names them.

        Raises:
            InvalidInput: the version is not one ONNX file, or ONNX Runtime is not installed.
        """
        return self._running().columns

    @property
    def onnx(self) -> bytes:
        """The bytes of the ONNX file, as they were verified. Raises InvalidInput as `predict`."""
        self._running()
        return self._contents[onnx_file(self.manifest.artifact) or ""]

    def copy_to(self, directory: Path) -> None:
        """Write the version's files below an empty directory, verified once more, for who has to open them.

        Raises:
            IntegrityError: one was changed in the cache since this was loaded.
        """
        copy_verified(self.path, self.manifest, directory)

    def refresh(self) -> Model:
        """What the reference names now: this object while that is the same version, else a new one.

        Raises:
            As `veritas.load`. This object stays usable.
        """
        return self._refreshed(self)

    def close(self) -> None:
        """Let the cache remove the files when it needs the room; `predict` goes on working."""
        self._copy.release()

    def _running(self) -> OnnxPredictor:
        if isinstance(self._predictor, InvalidInput):
            raise self._predictor
        return self._predictor

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<veritas model {self.name}@{self.version}, model id {self.model_id}>"


def predictor_of(verified: Verified) -> OnnxPredictor | InvalidInput:
    """What runs the version, or why nothing here does."""
    artifact, label = verified.manifest.artifact, f"{verified.event.name}@{verified.event.version}"
    model = onnx_file(artifact)
    if model is None:
        suffixes = [Path(file.path).suffix for file in artifact.files]
        by = next((_LOADERS[suffix] for suffix in _LOADERS if suffix in suffixes), "what made them")
        return InvalidInput("model", label, f"it is not one ONNX file, load the files in its path by {by}")
    try:
        from veritasvault.serving.onnx_predictor import OnnxPredictor

        return OnnxPredictor(model, verified.contents)
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        return InvalidInput(
            "model", label, "install onnxruntime to run it: pip install 'veritasvault[training]'"
        )

"""What a feature set is made of: its columns, their code, and one digest over both."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import pyarrow as pa

from domain.registry.canonical import Digest, digest, digest_of
from domain.registry.errors import InvalidInput
from domain.risk.features.declare import Feature, Target, find

FORMAT = 2
"""Version of the feature set's layout; raise it when the same definition gives other bytes."""

_DRIVERS = (
    "block_features.py",
    "blocks.py",
    "dataset.py",
    "history.py",
    "preparation.py",
    "prepared_history.py",
    "stretch.py",
)

_KEYS = (("asset", pa.string()), ("date", pa.date32()))


@dataclass(frozen=True, slots=True)
class FeatureDefinition:
    """References of features, in order, and of the target; small and picklable, so tasks carry it.

    Attributes:
        references: the features' names in the library, or `package.module:function`.
        target_reference: the same for the target.
        digest: covers both, the bytes of the code that computes them, and the format.
    """

    references: tuple[str, ...]
    target_reference: str
    digest: Digest

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(find("features.columns", reference, Feature) for reference in self.references)

    @property
    def label(self) -> Target:
        label: Target = find("features.target", self.target_reference, Target)
        return label

    @property
    def columns(self) -> tuple[str, ...]:
        """The features' column names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def target(self) -> str:
        """The target's column name."""
        return self.label.name

    @property
    def market_features(self) -> tuple[Feature, ...]:
        """The cross-sectional ones; they need a first pass over all parts."""
        return tuple(feature for feature in self.features if feature.of_market)

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns that rows need beside the price, sorted."""
        needed = {name for feature in self.features for name in feature.measures}
        return tuple(sorted(needed.union(self.label.measures)))

    @property
    def market_window(self) -> int:
        """Dates of the market that the longest cross-sectional feature needs; 0 without one."""
        return max((feature.rows for feature in self.market_features), default=0)

    @property
    def schema(self) -> pa.Schema:
        """Of the parts that hold features: asset, date, features in order; nothing is null."""
        return pa.schema([*_KEYS, *((name, pa.float64()) for name in self.columns)])

    @property
    def label_schema(self) -> pa.Schema:
        """Of the parts that hold labels: asset, the date of the row that a label is the target of, target."""
        return pa.schema([*_KEYS, (self.target, pa.float64())])

    @property
    def window(self) -> int:
        """Rows of an asset that the longest feature needs, the row itself included."""
        return max(feature.rows for feature in self.features)

    @property
    def reach(self) -> int:
        """Earlier rows of an asset that the values of a row are made of, its label included."""
        return max(self.window - 1, self.horizon)

    @property
    def horizon(self) -> int:
        """Rows after a row that its target is made of."""
        return self.label.horizon

    def require_same_code(self) -> None:
        """Check, in a worker, that the code installed here is what the digest was made from.

        Raises:
            InvalidInput: it is another; the worker has to be restarted on the same version.
        """
        if _digest(self.references, self.target_reference) != self.digest:
            raise InvalidInput(
                "features.digest",
                self.digest,
                "the code installed here is another; restart the workers with the project's same version",
            )


def feature_definition(columns: Sequence[str], target: str) -> FeatureDefinition:
    """Define a feature set by the references of its features and of its target.

    Raises:
        InvalidInput: no columns, one that cannot be found, or two of the same name.
    """
    if not columns:
        raise InvalidInput("features.columns", list(columns), "name at least one feature")
    definition = FeatureDefinition(tuple(columns), target, Digest(""))
    taken = {"asset", "date"}
    for name in (*definition.columns, definition.target):
        if name in taken:
            raise InvalidInput("features.columns", name, "give each column another name")
        taken.add(name)
    return replace(definition, digest=_digest(definition.references, definition.target_reference))


@cache
def _digest(references: tuple[str, ...], target: str) -> Digest:
    """Read once per process: code that is already imported does not change with its file."""
    declared = [find("features.columns", reference, Feature) for reference in references]
    label = find("features.target", target, Target)
    modules = {item.module for item in (*declared, label)}
    return digest_of(
        {
            "format": FORMAT,
            "columns": list(references),
            "target": target,
            "code": {name: digest(source) for name, source in sorted(_sources(modules).items())},
        }
    )


def _sources(modules: set[str]) -> dict[str, bytes]:
    """The code that decides the values: this package, its drivers, the features' own modules.

    Workers may import it from an archive that was sent to them, so it is read as it was imported.
    """
    package = __name__.rpartition(".")[0]
    own = [file for file in files(package).iterdir() if file.name.endswith(".py")]
    sources = {f"features/{file.name}": file.read_bytes() for file in own}
    sources |= {name: files("domain.risk").joinpath(name).read_bytes() for name in _DRIVERS}
    for module in modules:
        if package not in (module, module.rpartition(".")[0]):
            sources[module] = _source(module)
    return sources


def _source(module: str) -> bytes:
    loaded = importlib.import_module(module)
    read = getattr(loaded.__loader__, "get_data", None)
    if read is None or loaded.__file__ is None:
        raise InvalidInput("features.columns", module, "give a module that is a file of Python")
    return bytes(read(loaded.__file__))

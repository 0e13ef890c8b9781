"""How a feature or a target is declared, and how its name in a spec is looked up."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from domain.registry.errors import InvalidInput
from domain.risk.features.panel import Panel
from domain.risk.features.windows import Floats
from domain.risk.references import resolve

Kernel = Callable[[Panel], Floats]
LIBRARY = "domain.risk.features.library"


@dataclass(frozen=True, slots=True)
class Feature:
    """A pure function on one partition: (n,) values from the rows of a panel.

    Attributes:
        rows: rows of an asset, the last one included, that a value is made of; earlier rows are dropped.
        of_market: computed on the market's mean log return of each date, and looked up by date.
        module: where the kernel is written; its bytes are part of a definition's digest.
        measures: columns of the raw data that the kernel needs beside the price.
    """

    name: str
    rows: int
    of_market: bool
    module: str
    kernel: Kernel
    measures: tuple[str, ...] = ()

    def __call__(self, panel: Panel) -> Floats:
        """Values of shape (n,); those of rows with position < rows - 1 mean nothing.

        Raises:
            InvalidInput: the kernel returned another shape.
        """
        return _checked(self.name, self.kernel(panel), panel)


@dataclass(frozen=True, slots=True)
class Target:
    """What a model forecasts: a kernel over the `horizon` rows that follow a row.

    The kernel looks back like a feature's; its value at row t + horizon becomes the target of row t. It may
    use the last `horizon` returns only, so that the label window is the rows t + 1 to t + horizon. A label is
    therefore kept with the row that ends its window, and no stored row changes when later rows arrive.

    Attributes:
        measures: columns of the raw data that the kernel needs beside the price.
        classes: what the values 1, 2, … stand for, where they tell kinds of rows apart; 0 is none of them.
            Empty for a quantity.
    """

    name: str
    horizon: int
    module: str
    kernel: Kernel
    measures: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __call__(self, panel: Panel) -> Floats:
        """What was realised by each row, shape (n,): the target of the asset's row `horizon` rows before it.

        Values of rows with position < horizon mean nothing.

        Raises:
            InvalidInput: the kernel returned another shape.
        """
        return _checked(self.name, self.kernel(panel), panel)


Declared = TypeVar("Declared", Feature, Target)


def feature(
    rows: int, *, of_market: bool = False, measures: tuple[str, ...] = ()
) -> Callable[[Kernel], Feature]:
    """Declare a kernel as a feature under the function's name."""

    def declared(kernel: Kernel) -> Feature:
        _at_least_one(f"{kernel.__module__}:{kernel.__name__}.rows", rows)
        return Feature(kernel.__name__, rows, of_market, kernel.__module__, kernel, measures)

    return declared


def target(
    horizon: int, *, measures: tuple[str, ...] = (), classes: tuple[str, ...] = ()
) -> Callable[[Kernel], Target]:
    """Declare a kernel as a target, `horizon` rows ahead, under the function's name."""

    def declared(kernel: Kernel) -> Target:
        _at_least_one(f"{kernel.__module__}:{kernel.__name__}.horizon", horizon)
        return Target(kernel.__name__, horizon, kernel.__module__, kernel, measures, classes)

    return declared


@cache
def find(field: str, reference: str, kind: type[Declared]) -> Declared:
    """Look up a name of the library, or `package.module:function` for one's own.

    Raises:
        InvalidInput: nothing of that kind is declared there; names what can be used instead.
    """
    library = importlib.import_module(LIBRARY)
    known = {name: value for name, value in vars(library).items() if isinstance(value, kind)}
    found = resolve(field, reference, known)
    if not isinstance(found, kind):
        raise InvalidInput(field, reference, f"declare that function with @{kind.__name__.lower()}(…)")
    return found


def _checked(name: str, values: Floats, panel: Panel) -> Floats:
    shape = getattr(values, "shape", None)
    if shape != panel.date.shape:
        raise InvalidInput(f"features.{name}", shape, f"its kernel must return {panel.date.shape}")
    return values


def _at_least_one(field: str, number: int) -> None:
    if number < 1:
        raise InvalidInput(field, number, "give a whole number of at least 1")

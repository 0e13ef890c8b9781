"""The console: a page of models of a registry with 10,000 versions, against one with 100."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Line, Turns, show

LIMIT = 3.0
ROUNDS = 15
NAMES = 50
FEW, MANY = 100, 10_000


def measure() -> list[Line]:
    """The time of a page with all 50 models, as the registry holds more versions of each."""
    from tests.registry.many_models import ManyModels

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        shelves = []
        for versions in (MANY, FEW):
            home = Path(directory) / str(versions)
            home.mkdir()
            shelves.append(ManyModels(home, NAMES, versions // NAMES))

        def page(shelf: ManyModels) -> None:
            found = shelf.models.page(limit=NAMES)
            if len(found.models) != NAMES or any(model.problems for model in found.models):
                raise SystemExit(f"the page is not whole: {found}")

        took = Turns.of(lambda _: page(shelves[0]), lambda _: page(shelves[1]), ROUNDS)
    return [
        Line.of(f"a page of {NAMES} models among {MANY} versions, ms", [s * 1000 for s in took.ours], None),
        Line.of(f"the same / among {FEW} versions", took.ratios, LIMIT),
    ]


if __name__ == "__main__":
    sys.exit(show("Console", measure()))

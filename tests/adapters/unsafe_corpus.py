"""The corpus: every artifact that must not come in, each with the careless load that it runs under."""

from __future__ import annotations

from tests.adapters.unsafe import archives, models, names, pickles, programs
from tests.adapters.unsafe.case import Unsafe

CORPUS: tuple[Unsafe, ...] = tuple(
    case for module in (pickles, archives, programs, models, names) for case in module.cases()
)

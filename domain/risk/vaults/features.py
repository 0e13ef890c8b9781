"""Features of vaults' flows that show attacks, and the attacks themselves as what there is to be found.

Each compares a day with the same vault's eight weeks before it, so that large and small vaults look alike and
every window has each day of the week equally often.
"""

from __future__ import annotations

import numpy as np

from domain.risk.features import Panel, feature, lagged, log, target
from domain.risk.features.surprise import surprise
from domain.risk.features.windows import Floats
from domain.risk.vaults.attacks import ATTACKS

DAYS = 56
"""What a day is compared with."""

LASTING = 3
"""Days over which what lasts is averaged; the shortest wash trading lasts as long."""

_LEAST = 0.05
"""A logarithm of flows that moved by less than five percent did not move."""

_LEAST_RETURN = 1e-4
_SMALLEST_SHARE = 1e-4


@feature(rows=DAYS + 2)
def return_surprise(panel: Panel) -> Floats:
    """Surprise in the log return of the market's price."""
    return surprise(panel.returns, DAYS, _LEAST_RETURN)


@feature(rows=DAYS + 1, measures=("volume",))
def volume_surprise(panel: Panel) -> Floats:
    """Surprise in the value traded."""
    return surprise(log(panel.measure("volume") + 1.0), DAYS, _LEAST)


@feature(rows=DAYS + 1, measures=("counterparties", "volume"))
def value_each(panel: Panel) -> Floats:
    """Surprise in the value traded by each counterparty: wash trading moves much between few."""
    return surprise(_each(panel, "volume"), DAYS, _LEAST)


@feature(rows=DAYS + LASTING, measures=("counterparties", "volume"))
def value_each_3(panel: Panel) -> Floats:
    """Surprise in the value traded by each counterparty over three days."""
    return surprise(_each(panel, "volume"), DAYS, _LEAST, mean_of=LASTING)


@feature(rows=DAYS + 1, measures=("counterparties", "swaps"))
def swaps_each(panel: Panel) -> Floats:
    """Surprise in the swaps of each counterparty."""
    return surprise(_each(panel, "swaps"), DAYS, _LEAST)


@feature(rows=DAYS + LASTING, measures=("counterparties", "swaps"))
def swaps_each_3(panel: Panel) -> Floats:
    """Surprise in the swaps of each counterparty over three days."""
    return surprise(_each(panel, "swaps"), DAYS, _LEAST, mean_of=LASTING)


@feature(rows=DAYS + 2, measures=("balance", "withdrawals"))
def withdrawal_surprise(panel: Panel) -> Floats:
    """Surprise in withdrawals as a share of the evening before's balance."""
    share = panel.measure("withdrawals") / lagged(panel.measure("balance"), 1)
    return surprise(log(share + _SMALLEST_SHARE), DAYS, _LEAST)


@feature(rows=2, measures=("balance", "deposits", "withdrawals"))
def net_outflow(panel: Panel) -> Floats:
    """Withdrawals less deposits as a share of the evening before's balance."""
    return (panel.measure("withdrawals") - panel.measure("deposits")) / lagged(panel.measure("balance"), 1)


@feature(rows=1, measures=("oracle",))
def oracle_gap(panel: Panel) -> Floats:
    """How far the oracle's price was from the market's, as the size of a log return."""
    return np.abs(log(panel.measure("oracle") / panel.close))


@target(horizon=1, measures=("attack",), classes=ATTACKS)
def planted_attack(panel: Panel) -> Floats:
    """The attack of the row, known a row later; detectors do not learn it, they are judged by it."""
    return lagged(panel.measure("attack"), 1)


def _each(panel: Panel, name: str) -> Floats:
    """Logarithm of a measure for each counterparty."""
    return log(panel.measure(name) / panel.measure("counterparties"))

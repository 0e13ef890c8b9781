"""Attacks on vaults: when they happen, and how each bends a day's flows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

ATTACKS = ("wash_trading", "oracle_manipulation", "drain")
"""What the codes 1, 2 and 3 of the column `attack` stand for; 0 is an ordinary day."""

WASH, ORACLE, DRAIN = 1, 2, 3

DAYS_BETWEEN = {WASH: 1200.0, ORACLE: 900.0, DRAIN: 900.0}
"""Mean days between two attacks of a kind on one vault."""

LENGTHS = {WASH: (3, 9), ORACLE: (1, 1), DRAIN: (1, 3)}
"""Days that an attack lasts, at least and at most."""

QUIET_DAYS = 90
"""No attack begins in the first days of a vault, nor so soon after another that both run together."""

_APART = 10


@dataclass(frozen=True, slots=True)
class Attacks:
    """What attackers do on each day; arrays of shape (days, vaults).

    Attributes:
        code: the kind, an index of `ATTACKS` plus 1, or 0.
        volume: factor on the traded value.
        swaps: factor on the number of swaps.
        counterparties: factor on the number of counterparties.
        oracle_gap: added to the logarithm of the oracle's price over the market's.
        taken: share of the vault's balance that is withdrawn beside ordinary withdrawals.
    """

    code: Codes
    volume: Floats
    swaps: Floats
    counterparties: Floats
    oracle_gap: Floats
    taken: Floats


def planted(random: np.random.Generator, days: int, vaults: int) -> Attacks:
    """Draw the attacks on so many vaults; their strength varies, so that some are hard to tell from business.

    Wash trading multiplies value and swaps and leaves the counterparties as few as they were. The
    manipulation of an oracle moves its price away from the market's for a day, and somebody profits. A drain
    withdraws a large share of the balance within days.
    """
    code = np.zeros((days, vaults), dtype=np.int8)
    volume, swaps, counterparties = (np.ones((days, vaults)) for _ in range(3))
    oracle_gap, taken = np.zeros((days, vaults)), np.zeros((days, vaults))
    for vault in range(vaults):
        for kind, start, stop in _schedule(random, days):
            span = slice(start, stop)
            code[span, vault] = kind
            if kind == WASH:
                volume[span, vault] = random.uniform(2.0, 8.0)
                swaps[span, vault] = volume[span, vault] * random.uniform(0.6, 1.2)
                counterparties[span, vault] = random.uniform(0.8, 1.1)
            elif kind == ORACLE:
                oracle_gap[span, vault] = random.choice([-1.0, 1.0]) * random.uniform(0.01, 0.3)
                volume[span, vault] = random.uniform(1.2, 3.0)
                taken[span, vault] = random.uniform(0.01, 0.12)
            else:
                taken[span, vault] = random.uniform(0.06, 0.6) / (stop - start)
                volume[span, vault] = random.uniform(0.9, 1.6)
    return Attacks(code, volume, swaps, counterparties, oracle_gap, taken)


def _schedule(random: np.random.Generator, days: int) -> list[tuple[int, int, int]]:
    """Kind, first day and day after the last of one vault's attacks, none near another."""
    drawn = []
    for kind, between in DAYS_BETWEEN.items():
        for _ in range(int(random.poisson(days / between))):
            shortest, longest = LENGTHS[kind]
            start = int(random.integers(QUIET_DAYS, max(days, QUIET_DAYS + 1)))
            drawn.append((kind, start, start + int(random.integers(shortest, longest + 1))))
    kept: list[tuple[int, int, int]] = []
    for attack in sorted(drawn, key=lambda one: one[1]):
        if attack[2] <= days and (not kept or attack[1] >= kept[-1][2] + _APART):
            kept.append(attack)
    return kept

"""A generator of vaults' daily flows: ordinary business with heavy tails, seasons and regimes, and attacks.

No public data set has flows of vaults with labelled attacks under one definition, so they are generated. The
same seed gives the same rows. Amounts are rounded to cents and prices to six digits, far above the last bit
in which logarithms of two processors may differ.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.vaults.attacks import Attacks, planted

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

VAULTS = 20
FIRST_DAY, LAST_DAY = dt.date(2018, 1, 1), dt.date(2022, 12, 31)
MEASURES = ("attack", "balance", "counterparties", "deposits", "oracle", "swaps", "volume", "withdrawals")
"""The columns beside asset, date and close, all of them numbers of one day.

- attack: 0, or 1 and more for one of `ATTACKS`; known only once somebody has looked into it.
- balance: value in the vault at the end of the day; deposits, withdrawals and volume: value moved, in the
  currency of the close.
- swaps, counterparties: how many.
- oracle: the oracle's price where it was furthest from the market's, `close`.
"""

MOST_SEED = 2**32 - 1

_STAY_CALM, _STAY_TURBULENT = 0.99, 0.95
_VOLATILITY = (0.025, 0.05)
"""Of a day's log return, in calm and in turbulent times."""
_LARGEST_RETURN = 0.35
_WEEK = np.array([1.05, 1.1, 1.1, 1.08, 1.0, 0.8, 0.75])
"""Activity on Monday to Sunday."""


@dataclass(frozen=True, slots=True)
class _Business:
    """What would happen without attacks; arrays of shape (days, vaults).

    Attributes:
        deposits, withdrawals: as shares of the balance.
        oracle_gap: logarithm of the oracle's price over the market's.
    """

    close: Floats
    volume: Floats
    swaps: Floats
    counterparties: Floats
    deposits: Floats
    withdrawals: Floats
    oracle_gap: Floats


def vault_flows(
    seed: int, vaults: int = VAULTS, first: dt.date = FIRST_DAY, last: dt.date = LAST_DAY
) -> pl.DataFrame:
    """Rows with asset, date, close and `MEASURES`, sorted by (asset, date); one for each vault and day.

    Args:
        seed: from 0 to `MOST_SEED`; another one gives other flows and other attacks.

    Raises:
        InvalidInput: another seed, no vault, or dates that do not follow each other.
    """
    if not 0 <= seed <= MOST_SEED:
        raise InvalidInput("seed", seed, f"give a whole number from 0 to {MOST_SEED}")
    days = (last - first).days + 1
    if vaults < 1 or days < 2:
        raise InvalidInput("vaults", vaults, "give at least one, and two days or more")
    random = np.random.default_rng(seed)
    dates = [first + dt.timedelta(days=day) for day in range(days)]
    business = _business(random, dates, vaults)
    attacks = planted(random, days, vaults)
    balance, deposits, withdrawals = _moved(random, business, attacks)
    columns: dict[str, NDArray[Any]] = {
        "close": np.round(business.close, 6),
        "attack": attacks.code.astype(np.float64),
        "balance": np.round(balance, 2),
        "counterparties": np.round(np.maximum(business.counterparties * attacks.counterparties, 1.0)),
        "deposits": np.round(deposits, 2),
        "oracle": np.round(business.close * np.exp(business.oracle_gap + attacks.oracle_gap), 6),
        "swaps": np.round(np.maximum(business.swaps * attacks.swaps, 1.0)),
        "volume": np.round(business.volume * attacks.volume, 2),
        "withdrawals": np.round(withdrawals, 2),
    }
    names = [f"VAULT-{number:02d}" for number in range(1, vaults + 1)]
    return pl.DataFrame(
        {
            "asset": np.repeat(names, days),
            "date": pl.Series(dates * vaults, dtype=pl.Date),
            **{name: values.T.ravel() for name, values in columns.items()},
        }
    )


def _business(random: np.random.Generator, dates: list[dt.date], vaults: int) -> _Business:
    days, shape = len(dates), (len(dates), vaults)
    turbulent = _regimes(random, days)[:, np.newaxis]
    market, own = _heavy(random, (days, 1)), _heavy(random, shape)
    returns = np.where(turbulent, _VOLATILITY[1], _VOLATILITY[0]) * (0.7 * market + 0.7 * own)
    returns = np.clip(returns, -_LARGEST_RETURN, _LARGEST_RETURN)
    close = np.exp(np.log(random.uniform(1.0, 50.0, vaults)) + np.cumsum(returns, axis=0))
    season = _WEEK[[date.weekday() for date in dates]][:, np.newaxis]
    busy = np.where(random.random(shape) < 0.008, random.uniform(2.0, 6.0, shape), 1.0)
    activity = np.exp(_persistent(random, shape, 0.9, 0.12) + 0.6 * turbulent + 4.0 * np.abs(returns))
    activity = activity * season * busy
    noise = (0.25 * _heavy(random, shape) for _ in range(5))
    crowd = random.lognormal(6.0, 0.7, vaults)
    counterparties = crowd * activity**0.9 * np.exp(0.5 * next(noise))
    swaps = counterparties * random.uniform(2.0, 5.0, vaults) * np.exp(0.5 * next(noise))
    volume = counterparties * random.lognormal(7.0, 0.5, vaults) * np.exp(next(noise))
    moved = 0.01 * activity**0.5
    whale = np.where(random.random(shape) < 0.006, random.uniform(2.0, 7.0, shape), 1.0)
    deposits = np.minimum(moved * np.exp(1.6 * next(noise)), 0.2)
    withdrawals = np.minimum(moved * whale * np.exp(1.6 * next(noise)), 0.25)
    gap = 0.0015 * np.where(turbulent, 2.5, 1.0) * _heavy(random, shape)
    return _Business(close, volume, swaps, counterparties, deposits, withdrawals, gap)


def _moved(
    random: np.random.Generator, business: _Business, attacks: Attacks
) -> tuple[Floats, Floats, Floats]:
    """Balance at the end of each day, value deposited and value withdrawn; shape (days, vaults).

    Deposits pull a balance slowly back to the vault's usual one, so that it recovers from a drain in months.
    """
    days, vaults = business.close.shape
    usual = random.lognormal(16.0, 0.8, vaults)
    balances, deposits, withdrawals = (np.empty((days, vaults)) for _ in range(3))
    balance = usual
    for day in range(days):
        attracted = business.deposits[day] * (usual / balance) ** 0.5
        deposits[day] = balance * np.minimum(attracted, 0.3)
        withdrawals[day] = balance * np.minimum(business.withdrawals[day] + attacks.taken[day], 0.9)
        balance = balance + deposits[day] - withdrawals[day]
        balances[day] = balance
    return balances, deposits, withdrawals


def _regimes(random: np.random.Generator, days: int) -> Flags:
    """Which days are turbulent: a Markov chain with two states, shape (days,)."""
    drawn = random.random(days)
    turbulent = np.zeros(days, dtype=np.bool_)
    for day in range(1, days):
        stay = _STAY_TURBULENT if turbulent[day - 1] else _STAY_CALM
        turbulent[day] = turbulent[day - 1] == (drawn[day] < stay)
    return turbulent


def _heavy(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Student's t with 4 degrees of freedom, scaled to variance 1: a normal over a root of its own."""
    normal, others = random.standard_normal(shape), random.standard_normal((4, *shape))
    heavy: Floats = normal / np.sqrt(np.mean(np.square(others), axis=0)) / np.sqrt(2.0)
    return heavy


def _persistent(random: np.random.Generator, shape: tuple[int, int], memory: float, step: float) -> Floats:
    """A first-order autoregression along days."""
    shocks = step * random.standard_normal(shape)
    values = np.empty(shape)
    values[0] = shocks[0]
    for day in range(1, shape[0]):
        values[day] = memory * values[day - 1] + shocks[day]
    return values

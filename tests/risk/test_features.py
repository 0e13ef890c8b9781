"""Each kernel against a plain formula, and the property all share: a value depends on its window alone."""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.features import (
    FeatureDefinition,
    Panel,
    feature,
    feature_definition,
    lagged,
    log,
    target,
    trailing,
)
from domain.risk.features.compute import feature_rows, labels
from domain.risk.features.declare import Feature
from domain.risk.features.library import EWMA_DECAY, EWMA_TERMS
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from tests.risk.feature_panels import COLUMNS, TARGET, panel, walks

OWN = [name for name in COLUMNS if not name.startswith("market")]
CLOSE = walks(1, 400, seed=7)["A000"]
RETURNS = [math.nan, *(math.log(CLOSE[t] / CLOSE[t - 1]) for t in range(1, len(CLOSE)))]


def _volatility(returns: list[float]) -> float:
    return math.sqrt(252 * sum(r * r for r in returns) / len(returns))


def _ewma(returns: list[float]) -> float:
    weights = [EWMA_DECAY**k for k in range(EWMA_TERMS)]
    weighted = sum(w * r * r for w, r in zip(weights, reversed(returns), strict=True))
    return math.sqrt(252 * weighted / sum(weights))


NAIVE = {
    "log_return": lambda t: RETURNS[t],
    "rv_1": lambda t: _volatility(RETURNS[t : t + 1]),
    "rv_5": lambda t: _volatility(RETURNS[t - 4 : t + 1]),
    "rv_21": lambda t: _volatility(RETURNS[t - 20 : t + 1]),
    "rv_63": lambda t: _volatility(RETURNS[t - 62 : t + 1]),
    "rsv_21": lambda t: _volatility([min(r, 0.0) for r in RETURNS[t - 20 : t + 1]]),
    "ewma_vol": lambda t: _ewma(RETURNS[t - 125 : t + 1]),
    "momentum_21": lambda t: math.log(CLOSE[t] / CLOSE[t - 21]),
    "momentum_252": lambda t: math.log(CLOSE[t] / CLOSE[t - 252]),
    "drawdown_252": lambda t: CLOSE[t] / max(CLOSE[t - 251 : t + 1]) - 1,
}


@pytest.mark.parametrize("name", OWN)
def test_a_feature_is_what_its_plain_formula_says(name: str) -> None:
    [declared] = feature_definition([name], TARGET).features
    values = declared(panel(CLOSE))
    for t in range(declared.rows - 1, len(CLOSE)):
        assert values[t] == pytest.approx(NAIVE[name](t), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", OWN)
def test_a_feature_needs_exactly_the_rows_it_declares(name: str) -> None:
    """Its first value is complete with so many rows, and would not be with one row fewer."""
    definition = feature_definition([name], TARGET)
    rows = definition.window
    assert len(feature_rows(panel(CLOSE[:rows]), definition, NO_FACTORS).kept) == 1
    assert len(feature_rows(panel(CLOSE[: rows - 1]), definition, NO_FACTORS).kept) == 0
    assert (
        _bits(definition.features[0](panel(CLOSE[:rows])))[-1]
        == _bits(definition.features[0](panel(CLOSE)))[rows - 1]
    )
    first = CLOSE.copy()
    first[0] *= 1e6
    assert definition.features[0](panel(first))[rows - 1] != definition.features[0](panel(CLOSE))[rows - 1]


@given(start=st.integers(0, 140), stop=st.integers(0, 7), name=st.sampled_from(OWN))
def test_starting_the_history_at_another_date_gives_the_same_bits(start: int, stop: int, name: str) -> None:
    definition = feature_definition([name], TARGET)
    [declared] = definition.features
    end = len(CLOSE) - stop
    part = declared(panel(CLOSE[start:end], first=start))
    whole = declared(panel(CLOSE))[start:end]
    kept = slice(declared.rows - 1, None)
    assert _bits(part)[kept].tolist() == _bits(whole)[kept].tolist()


@given(seed=st.integers(0, 2**16), names=st.permutations(["a", "b", "c", "d"]))
def test_other_assets_and_their_order_change_no_cell_of_an_asset(seed: int, names: list[str]) -> None:
    definition = feature_definition(OWN, TARGET)
    closes = dict(zip(sorted(names), walks(4, 300, seed).values(), strict=True))
    alone = {name: _columns(panel(close), definition) for name, close in closes.items()}
    days = np.tile(np.arange(300, dtype=np.int32), 4)
    together = Panel.of_prices(np.repeat(np.arange(4), 300), days, np.concatenate([closes[n] for n in names]))
    for column, values in _columns(together, definition).items():
        expected = np.concatenate([alone[name][column] for name in names])
        assert _bits(values).tolist() == _bits(expected).tolist()


def _columns(one: Panel, definition: FeatureDefinition) -> dict[str, NDArray[np.float64]]:
    features = feature_rows(one, definition, NO_FACTORS).columns
    return {**features, definition.target: labels(one, definition).values}


def test_the_market_is_the_mean_return_of_each_date_whatever_the_order_of_parts() -> None:
    prices = [panel(close) for close in walks(5, 60).values()]
    sums = [MarketSums.of_panel(one) for one in prices]
    forth, back = MarketSums.merged(sums), MarketSums.merged(sums[::-1])
    assert _bits(forth.panel().returns).tolist() == _bits(back.panel().returns).tolist()
    mean = np.mean([one.returns[1:] for one in prices], axis=0)
    assert forth.panel().returns == pytest.approx(mean, abs=1e-13)
    features = feature_definition(["market_vol_21"], TARGET).market_features
    values = MarketFactors.of(forth, features).at("market_vol_21", np.arange(60, dtype=np.int32))
    assert np.isnan(values[:21]).all()
    assert values[21] == pytest.approx(_volatility(mean[:21].tolist()), rel=1e-10)


def test_market_dates_without_a_value_are_left_out() -> None:
    factors = MarketFactors.of(MarketSums.of_panel(panel(CLOSE)), [])
    empty = MarketFactors(factors.date, {"x": np.ones(len(factors.date))})
    assert np.isnan(empty.at("x", np.array([0, 400, 9999], dtype=np.int32))).all()
    assert empty.at("x", np.array([1, 399], dtype=np.int32)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("close", [[1.0, math.inf], [1.0, math.nan], [1.0, -1.0]])
def test_a_return_that_cannot_be_added_is_refused(close: list[float]) -> None:
    with pytest.raises(InvalidInput, match="correct the prices"), np.errstate(all="ignore"):
        MarketSums.of_panel(panel(np.array(close)))


def test_a_sum_that_could_overflow_is_refused() -> None:
    days = np.zeros(1, dtype=np.int32)
    one = MarketSums(days, np.array([1 << 61]), np.array([1]), 1 << 61)
    with pytest.raises(InvalidInput, match="overflows"):
        MarketSums.merged([one, one])


def test_a_market_feature_that_asks_for_prices_is_refused() -> None:
    priced = Feature("priced", 2, True, __name__, lambda market: market.close)
    with pytest.raises(InvalidInput, match="returns only"):
        MarketFactors.of(MarketSums.of_panel(panel(CLOSE)), [priced])


def test_the_target_is_the_volatility_of_the_next_five_rows() -> None:
    found = labels(panel(CLOSE), feature_definition(["rv_1"], TARGET))
    assert found.of.tolist() == list(range(len(CLOSE) - 5))
    for t, value in zip(found.of.tolist(), found.values.tolist(), strict=True):
        assert value == pytest.approx(_volatility(RETURNS[t + 1 : t + 6]), rel=1e-12)


def test_a_targets_window_never_reaches_into_the_next_asset() -> None:
    both = Panel.of_prices(np.repeat([0, 1], 30), np.tile(np.arange(30, dtype=np.int32), 2), CLOSE[:60])
    found = labels(both, feature_definition(["rv_1"], TARGET))
    assert found.of.tolist() == [*range(25), *range(30, 55)]
    assert (found.known - found.of == 5).all()


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=50))
def test_the_logarithm_is_within_three_units_in_the_last_place(values: list[float]) -> None:
    for computed, exact in zip(log(np.array(values)), map(math.log, values), strict=True):
        assert abs(computed - exact) <= 3 * math.ulp(exact)


def test_the_logarithm_of_what_is_not_positive_is_nan() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(log(np.array([0.0, -1.0, math.nan, math.inf]))).all()


def test_the_logarithm_has_the_bits_it_always_had() -> None:
    """Golden values: another processor, numpy or C library must not change them."""
    values = log(np.array([0.5, 0.99, 1.0, 1.0001, 1.05, 2.0, 3.0, 1e-5, 1e10]))
    assert [value.hex() for value in values.tolist()] == GOLDEN


@given(
    length=st.integers(1, 20),
    values=st.lists(st.integers(-1000, 1000), min_size=20, max_size=40),
)
def test_a_trailing_window_combines_exactly_its_rows(length: int, values: list[int]) -> None:
    """Integers are exact in any order, so sums, maxima and weights by powers of two have to be equal."""
    vector = np.array(values, dtype=np.float64)
    for t in range(length - 1, len(values)):
        window = values[t - length + 1 : t + 1]
        assert trailing(vector, length)[t] == sum(window)
        assert trailing(vector, length, combine=np.maximum)[t] == max(window)
        assert trailing(vector, length, decay=0.5)[t] == sum(x / 2**k for k, x in enumerate(reversed(window)))


def test_lagging_moves_rows_down() -> None:
    assert lagged(np.array([1.0, 2.0, 3.0]), 2).tolist()[2:] == [1.0]
    assert np.isnan(lagged(np.array([1.0, 2.0]), 5)).all()


def test_columns_appear_in_the_order_of_the_spec_and_the_target_apart() -> None:
    definition = feature_definition(["rv_5", "log_return"], TARGET)
    assert definition.schema.names == ["asset", "date", "rv_5", "log_return"]
    assert definition.label_schema.names == ["asset", "date", TARGET]
    assert (definition.columns, definition.target) == (("rv_5", "log_return"), TARGET)
    assert (definition.window, definition.horizon) == (6, 5)


def test_the_digest_covers_names_order_and_target() -> None:
    digests = {
        feature_definition(names, TARGET).digest
        for names in (["rv_5"], ["rv_21"], ["rv_5", "rv_21"], ["rv_21", "rv_5"])
    }
    assert len(digests) == 4
    assert feature_definition(["rv_5"], TARGET) == feature_definition(["rv_5"], TARGET)


@pytest.mark.parametrize(
    ("columns", "label", "message"),
    [
        ([], TARGET, "name at least one feature"),
        (["rv5"], TARGET, "features.columns is 'rv5': use rv_5"),
        (["rv_5", "rv_5"], TARGET, "give each column another name"),
        (["rv_5"], "rv_5", "features.target is 'rv_5'"),
        (["no_such_module:thing"], TARGET, "name an importable module"),
        (["math:sqrt"], TARGET, r"declare that function with @feature"),
    ],
)
def test_a_definition_that_cannot_be_made_says_why(columns: list[str], label: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        feature_definition(columns, label)


OWN_MODULE = """
import numpy as np
from domain.risk.features import feature, target, trailing

@feature(rows=4)
def mean_return_3(panel):
    return trailing(panel.returns, 3) / 3

@target(horizon=2)
def return_2_ahead(panel):
    return trailing(panel.returns, 2)

@feature(rows=2)
def wrong_shape(panel):
    return panel.returns[1:]
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_features.py"
    path.write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_features", raising=False)
    return path


def test_a_users_own_feature_and_target_take_one_function_each(own_module: Path) -> None:
    definition = feature_definition(["my_features:mean_return_3", "rv_1"], "my_features:return_2_ahead")
    assert definition.schema.names[2:] == ["mean_return_3", "rv_1"]
    assert definition.label_schema.names[2:] == ["return_2_ahead"]
    copy = pickle.loads(pickle.dumps(definition))
    rows, ahead = feature_rows(panel(CLOSE[:10]), copy, NO_FACTORS), labels(panel(CLOSE[:10]), copy)
    assert rows.columns["mean_return_3"][0] == pytest.approx(sum(RETURNS[1:4]) / 3)
    assert ahead.values[rows.kept[0]] == pytest.approx(RETURNS[4] + RETURNS[5])


def test_a_kernel_of_another_shape_is_refused_by_name(own_module: Path) -> None:
    definition = feature_definition(["my_features:wrong_shape"], TARGET)
    with pytest.raises(
        InvalidInput, match=r"features\.wrong_shape is \(9,\): its kernel must return \(10,\)"
    ):
        feature_rows(panel(CLOSE[:10]), definition, NO_FACTORS)


def test_the_digest_covers_the_bytes_of_a_users_own_module(own_module: Path) -> None:
    """Read in fresh processes: code that is imported does not change with its file."""
    import subprocess

    code = (
        "from domain.risk.features import feature_definition\n"
        f"print(feature_definition(['my_features:mean_return_3'], {TARGET!r}).digest)"
    )

    def digest() -> str:
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=own_module.parent, capture_output=True, text=True, check=True
        )
        return found.stdout

    before = digest()
    assert digest() == before
    own_module.write_text(OWN_MODULE + "\n# other bytes\n")
    assert digest() != before


@pytest.mark.parametrize("declare", [lambda: feature(rows=0), lambda: target(horizon=0)])
def test_a_window_of_no_rows_is_refused(declare: object) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        declare()(lambda panel: panel.returns)  # type: ignore[operator]


def _bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


GOLDEN = [
    "-0x1.62e42fefa39efp-1",
    "-0x1.495453e6fd4bcp-7",
    "0x0.0p+0",
    "0x1.a368d0657fcd4p-14",
    "0x1.8fb063ef2c7f1p-5",
    "0x1.62e42fefa39efp-1",
    "0x1.193ea7aad030ap+0",
    "-0x1.7069e2aa2aa5bp+3",
    "0x1.7069e2aa2aa5ap+4",
]

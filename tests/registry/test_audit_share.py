"""Every model has its turn in each period, whatever is registered meanwhile and whichever days are missed."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from domain.registry.audit_share import Share
from domain.registry.canonical import digest
from domain.registry.manifest import ModelId

START = dt.date(2026, 1, 1)
model_ids = st.integers(0, 10**6).map(lambda number: ModelId(digest(str(number).encode())))
periods = st.integers(1, 60)


def shares(days: list[dt.date], period: int) -> list[Share]:
    """The shares of audits on these days, each following the one before."""
    found: list[Share] = []
    for day in days:
        found.append(Share.following(found[-1] if found else None, day, period))
    return found


@given(model_ids, periods, st.integers(0, 400))
def test_a_model_has_one_turn_in_as_many_days_as_the_period(
    model_id: ModelId, period: int, registered: int
) -> None:
    """From any day on, such as that of its registration; and on the same days of every later period."""
    first = START + dt.timedelta(days=registered)
    found = shares([first + dt.timedelta(days=number) for number in range(3 * period)], period)
    turns = [number for number, share in enumerate(found) if share.has(model_id)]
    assert turns == [turns[0], turns[0] + period, turns[0] + 2 * period]
    assert turns[0] < period


@given(model_ids, periods, st.lists(st.integers(1, 90), min_size=1, max_size=30))
def test_a_missed_turn_is_made_up_for_by_the_next_audit(
    model_id: ModelId, period: int, gaps: list[int]
) -> None:
    """Each turn of a model falls to exactly one audit: the first on its day or later."""
    days = [START]
    for gap in gaps:
        days.append(days[-1] + dt.timedelta(days=gap))
    for share, before in zip(shares(days, period)[1:], days, strict=False):
        since = range(before.toordinal() + 1, share.day.toordinal() + 1)
        turn = any(Share(day, day, period).has(model_id) for day in map(dt.date.fromordinal, since))
        assert share.has(model_id) == turn
        assert share.has(model_id) or (share.day - before).days < period


@given(model_ids, periods, st.integers(0, 50), st.integers(0, 50))
def test_an_audit_that_is_done_again_reads_the_same(
    model_id: ModelId, period: int, missed: int, earlier: int
) -> None:
    """On the same day, or for a day before the last audit, as by a cleared task."""
    first, last = shares([START, START + dt.timedelta(days=missed + 1)], period)
    again = Share.following(last, last.day - dt.timedelta(days=earlier), period)
    assert again == last
    assert first.day < last.first


def test_a_day_s_share_is_about_a_part_of_the_period() -> None:
    """3,000 models in 30 days: about 100 a day, by chance alone between 60 and 140."""
    ids = [ModelId(digest(str(number).encode())) for number in range(3000)]
    for number in range(30):
        day = START + dt.timedelta(days=number)
        assert 60 < sum(Share(day, day, 30).has(model_id) for model_id in ids) < 140

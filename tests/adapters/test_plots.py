"""Plots of an evaluation: readable files, the same bytes each time, and nothing in them that could differ."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from domain.registry.evidence import Attachment
from domain.risk.evaluation import Evaluation, walk_forward
from tests.risk.oracle_panel import training_set
from veritasvault.adapters.matplotlib_plots import plots
from veritasvault.adapters.trainers import trainer

FILES = ["forecast_vs_realised.png", "qlike_by_asset.png", "calibration.png"]


def evaluation(assets: int = 3, still: bool = False) -> Evaluation:
    """Of random walks on the weekdays of almost five years; `still` prices never move."""
    days = np.busday_offset(np.datetime64("2012-01-02"), np.arange(1200))
    moves = np.random.default_rng(0).normal(0, 0.0 if still else 0.01, (1200, assets))
    names = [f"A{number}" for number in range(assets)]
    training = training_set(names, days, 100 * np.exp(moves.cumsum(axis=0)))
    return walk_forward(training, trainer("ridge"), {}, 0)


@pytest.fixture(scope="module")
def drawn() -> tuple[Attachment, ...]:
    return plots("a_model", evaluation())


def chunks(png: bytes) -> list[bytes]:
    """The types of a PNG's chunks (PNG specification, section 5.3)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        found.append(png[place + 4 : place + 8])
        place += 12 + length
    return found


def test_three_pngs_that_open_and_are_not_blank(drawn: tuple[Attachment, ...]) -> None:
    assert [plot.name for plot in drawn] == FILES
    for plot in drawn:
        assert plot.media_type == "image/png"
        pixels = matplotlib.image.imread(io.BytesIO(plot.content))
        assert min(pixels.shape[:2]) > 200
        assert np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 20


def test_the_files_hold_no_time_and_no_software(drawn: tuple[Attachment, ...]) -> None:
    for plot in drawn:
        assert not {b"tIME", b"tEXt", b"iTXt", b"zTXt"} & set(chunks(plot.content))


def test_another_process_with_a_users_own_style_draws_the_same_bytes(
    drawn: tuple[Attachment, ...], tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text("figure.dpi: 50\nfont.size: 20\naxes.facecolor: red\n")
    command = (
        "from pathlib import Path; from tests.adapters.test_plots import evaluation;"
        " from veritasvault.adapters.matplotlib_plots import plots\n"
        f"for plot in plots('a_model', evaluation()): (Path({str(tmp_path)!r}) / plot.name).write_bytes("
        "plot.content)"
    )
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": "svg"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", command], check=True, cwd=root, env=environment)
    for plot in drawn:
        assert (tmp_path / plot.name).read_bytes() == plot.content


def test_drawing_leaves_the_settings_of_matplotlib_alone(drawn: tuple[Attachment, ...]) -> None:
    with mpl.rc_context({"font.size": 17.0}):
        plots("a_model", evaluation(1))
        assert mpl.rcParams["font.size"] == 17.0


def test_another_model_gives_other_plots(drawn: tuple[Attachment, ...]) -> None:
    """Each plot shows its data: other forecasts change all three."""
    usual = evaluation()
    forecasts = {**usual.forecasts.by_model, "candidate": usual.forecasts.candidate * 1.5}
    louder = replace(usual.forecasts, by_model=forecasts)
    assets = tuple(
        replace(scores, by_model={**scores.by_model, "candidate": {"qlike": 9.0}})
        for scores in usual.by_asset
    )
    other = plots("a_model", replace(usual, forecasts=louder, by_asset=assets))
    for plot, changed in zip(drawn, other, strict=True):
        assert plot.content != changed.content


def test_one_asset_prices_that_stand_still_and_no_baselines_can_be_drawn() -> None:
    alone = evaluation(1)
    bare = replace(
        alone,
        baselines={},
        forecasts=replace(alone.forecasts, by_model={"candidate": alone.forecasts.candidate}),
    )
    for odd in (alone, bare, evaluation(1, still=True)):
        assert [plot.name for plot in plots("a_model", odd)] == FILES

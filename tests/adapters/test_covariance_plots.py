"""Plots of covariances: pictures that open and show something, the same bytes each time."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np

from domain.risk.problems.contract import Setting
from domain.risk.problems.covariance import COVARIANCE
from tests.risk.covariance.returns_panel import common_market, returns_set
from veritasvault.adapters.covariance_plots import plots
from veritasvault.adapters.covariance_trainer import TRAINERS


def test_three_pictures_of_one_evaluation() -> None:
    training = returns_set(common_market(800))
    found = COVARIANCE.evaluate(training, TRAINERS["oas"], {"window": 40}, 0, Setting())
    drawn = plots("a_model", found)
    assert [one.name for one in drawn] == ["risk_over_time.png", "risk_by_year.png", "calibration.png"]
    for one in drawn:
        pixels = matplotlib.image.imread(io.BytesIO(one.content))
        assert min(pixels.shape[:2]) > 200
        assert np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 20
    assert [one.content for one in plots("a_model", found)] == [one.content for one in drawn]

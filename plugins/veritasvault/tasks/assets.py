"""Airflow's assets: what tells one pipeline that another has done something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset, AssetAlias

# For any scheme without "x-", Airflow imports every provider's handlers of assets: a second of boto3.
_SCHEME = "x-veritas"
REGISTERED = Asset(name="models", uri=f"{_SCHEME}://models")
"""Changes with every registration of any model."""

DRIFTS = AssetAlias("drifts")
"""Under this name a task tells of drift, of which model turns out when it runs."""


def of_model(name: str, stem: str) -> Asset:
    """Changes with every registration of a model; `stem` is that of its specification's file."""
    return Asset(name=f"model:{name}", uri=f"{_SCHEME}://models/{stem}")


def drift_of(name: str) -> Asset:
    """Changes when drift of a model's champion starts a retraining."""
    return Asset(name=f"drift:{name}", uri=f"{_SCHEME}://drift/{name}")


def started_by(context: Mapping[str, Any]) -> Mapping[str, str]:
    """What the drift says that started a run, the newest if there is more than one: `as_of` and `reason`.

    Empty for a run that was started by anything else.
    """
    events = (context.get("triggering_asset_events") or {}).values()
    said = [event.extra for found in events for event in found if "as_of" in (event.extra or {})]
    return max(said, key=lambda extra: str(extra["as_of"]), default={})

"""The text format of Prometheus, version 0.0.4, which its servers and node exporters read.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from domain.registry.inventory.gauges import HELP, Gauge

PREFIX = "veritas_"


def prometheus_text(gauges: Iterable[Gauge]) -> str:
    """The gauges as text: those of one name together, under what it means and its type."""
    order = {name: place for place, name in enumerate(HELP)}
    lines: list[str] = []
    for name, group in groupby(sorted(gauges, key=lambda one: order[one.name]), key=lambda one: one.name):
        lines += (f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} gauge")
        lines += (f"{PREFIX}{name}{_labels(gauge)} {gauge.value!r}" for gauge in group)
    return "".join(f"{line}\n" for line in lines)


def _labels(gauge: Gauge) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(gauge.labels.items()))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""What was found out about a candidate, and what its gates made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from domain.registry.canonical import Digest, as_digest, digest_of
from domain.registry.errors import InvalidInput
from domain.registry.records import Fields, as_text

Outcome = Literal["passed", "failed", "unevaluated"]
EVIDENCE = "evidence.json"
"""The name of the attachment that holds a version's evidence."""

OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "unevaluated")


@dataclass(frozen=True, slots=True)
class DataValidation:
    """Result of a data validation: how many expectations were checked, and a sentence for each unmet one."""

    checked: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LookAhead:
    """Result of probing for look-ahead.

    Attributes:
        probes: cut-off sessions after which all rows were perturbed, ISO dates.
        violations: a sentence for each feature cell, label window or purge that saw the future.
        folds: how many evaluation folds had their label windows and purge checked.
    """

    probes: tuple[str, ...]
    folds: int
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OnnxAgreement:
    """How well an ONNX file, run by ONNX Runtime, answers as the trained model does.

    Attributes:
        rows: how many rows both answered.
        difference: the largest difference between two answers, as a fraction of the model's.
    """

    rows: int
    difference: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts that gates judge; deterministic for a recipe, so it holds no times and no hosts.

    Attributes:
        metrics: out-of-sample metrics of the candidate, by name.
        baselines: the same metrics of each baseline, by baseline and metric name.
        assets_expected: assets the spec asked for.
        assets_covered: assets that the evaluation has forecasts for.
        data_validation: None when no data was validated.
        look_ahead: None when nothing was probed.
        details: further figures and texts for the model card, plain JSON; of their values gates judge
            `comparisons` and `onnx` alone.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    assets_expected: tuple[str, ...] = ()
    assets_covered: tuple[str, ...] = ()
    data_validation: DataValidation | None = None
    look_ahead: LookAhead | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for owner, metrics in (("metrics", self.metrics), *self.baselines.items()):
            for name, value in metrics.items():
                if not isinstance(value, float) or not math.isfinite(value):
                    raise InvalidInput(f"evidence.{owner}.{name}", value, "give a finite number")

    @property
    def digest(self) -> Digest:
        return digest_of(self.to_json())

    def p_value(self, metric: str, against: str) -> float | None:
        """How probable so large a difference to a baseline is between two equally good models, if known.

        It is found in the details, whose list `comparisons` has an object for each comparison: `metric`,
        `against` (a baseline), `test` (its name), `p_value`, and what else that test finds.
        """
        listed = self.details.get("comparisons")
        for found in listed if isinstance(listed, list | tuple) else ():
            if not isinstance(found, Mapping):
                continue
            value = found.get("p_value")
            if (found.get("metric"), found.get("against")) == (metric, against) and isinstance(value, float):
                return value
        return None

    def onnx_agreement(self) -> OnnxAgreement | None:
        """How well the ONNX file answers as the model does, if that is known.

        It is found in the details, whose object `onnx` has `rows` and `difference`.
        """
        found = self.details.get("onnx")
        if not isinstance(found, Mapping):
            return None
        rows, difference = found.get("rows"), found.get("difference")
        if not isinstance(rows, int) or not isinstance(difference, int | float):
            return None
        return OnnxAgreement(rows, float(difference))

    def with_onnx(self, agreement: OnnxAgreement | None) -> Evidence:
        """The same with what is known of the ONNX file; None is recorded as well: there is none."""
        found = None if agreement is None else asdict(agreement)
        return replace(self, details={**self.details, "onnx": found})

    def to_json(self) -> dict[str, Any]:
        return {
            "metrics": dict(self.metrics),
            "baselines": {name: dict(metrics) for name, metrics in self.baselines.items()},
            "assets_expected": list(self.assets_expected),
            "assets_covered": list(self.assets_covered),
            "data_validation": _listed(self.data_validation),
            "look_ahead": _listed(self.look_ahead),
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, value: object) -> Evidence:
        fields = Fields.of("evidence", value, tuple(cls.__slots__))
        validation, look_ahead = fields.values["data_validation"], fields.values["look_ahead"]
        return cls(
            metrics={name: float(number) for name, number in fields.mapping("metrics").items()},
            baselines={
                baseline: {name: float(number) for name, number in metrics.items()}
                for baseline, metrics in fields.mapping("baselines").items()
            },
            assets_expected=tuple(fields.items("assets_expected")),
            assets_covered=tuple(fields.items("assets_covered")),
            data_validation=None
            if validation is None
            else DataValidation(validation["checked"], tuple(validation["failures"])),
            look_ahead=None
            if look_ahead is None
            else LookAhead(tuple(look_ahead["probes"]), look_ahead["folds"], tuple(look_ahead["violations"])),
            details=fields.mapping("details"),
        )


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate decided, with the figures it looked at and a sentence."""

    gate: str
    outcome: Outcome
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        as_text("gate.gate", self.gate)
        as_text("gate.reason", self.reason)
        if self.outcome not in OUTCOMES:
            raise InvalidInput("gate.outcome", self.outcome, f"use one of {', '.join(OUTCOMES)}")

    def to_json(self) -> dict[str, Any]:
        return {
            "gate": self.gate,
            "outcome": self.outcome,
            "reason": self.reason,
            "figures": dict(self.figures),
        }

    @classmethod
    def from_json(cls, value: object) -> GateResult:
        fields = Fields.of("gate", value, tuple(cls.__slots__))
        figures = {name: float(number) for name, number in fields.mapping("figures").items()}
        return cls(fields.text("gate"), fields.values["outcome"], fields.text("reason"), figures)


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """An attachment as an event names it: file name, media type, size in bytes, SHA-256."""

    name: str
    media_type: str
    size: int
    sha256: Digest

    def __post_init__(self) -> None:
        as_text("attachment.name", self.name, longest=200)
        as_text("attachment.media_type", self.media_type, longest=100)
        as_digest("attachment.sha256", self.sha256)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "media_type": self.media_type,
            "size": self.size,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: object) -> AttachmentRef:
        fields = Fields.of("attachment", value, tuple(cls.__slots__))
        return cls(
            fields.text("name"), fields.text("media_type"), fields.integer("size"), fields.values["sha256"]
        )


@dataclass(frozen=True, slots=True)
class Attachment:
    """A piece of evidence to keep with a model: a report, a plot, a table."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def _listed(value: DataValidation | LookAhead | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: list(item) if isinstance(item, tuple) else item for name, item in asdict(value).items()}

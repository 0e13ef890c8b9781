"""The specification of a model: one TOML file that says what it is, sees, learns and has to prove."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.registry.card.measured import STATEMENTS
from domain.registry.errors import InvalidInput
from domain.registry.gates import GATES, CompleteCard, Gate, build_gate
from domain.registry.metadata import ModelMetadata, RiskTier, as_risk_tier
from domain.registry.records import Fields, as_text
from domain.risk.problems import FORECAST, listed
from domain.risk.references import resolve
from domain.risk.tuning_spec import TuningSpec

_MODEL = ("name", "purpose", "owner", "risk_tier", "intended_use", "limitations")


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Where prices come from.

    Attributes:
        source: URI of the panel; may contain {as_of}.
        calendar: name of a trading calendar of `exchange_calendars`, such as XNYS or 24/7.
        assets: the assets to use; empty means all there are.
        wait_hours: how long after the instant of a run its session's data may still arrive.
    """

    source: str
    calendar: str
    assets: tuple[str, ...] = ()
    wait_hours: float = 6.0


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """What learns.

    Attributes:
        parameters: of the trainer, those that differ from its defaults.
        rivals: further trainers by name, with such parameters; the best of all becomes the model.
        best_by: the metric that decides between them, one that the problem can compare by.
        tuning: which of the trainer's parameters are searched for; a run that sets one itself fixes it.
    """

    trainer: str
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rivals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    best_by: str = "qlike"
    tuning: TuningSpec | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """When runs are due.

    Attributes:
        every: a cron expression or preset such as @daily.
        start, end: first and last day of scheduled runs and backfills, in UTC; no end when None.
    """

    every: str
    start: dt.date
    end: dt.date | None = None


@dataclass(frozen=True, slots=True)
class PromotionSpec:
    """How challengers are compared with the champion, and how long people have to answer.

    Attributes:
        metric: one that the problem can compare by, see `domain.risk.problems.PROBLEMS`.
        tolerance: by which fraction of the champion's a challenger's metric may be worse.
        window_sessions: the last sessions with a known outcome, on which both are compared.
        answer_hours: an approval that nobody gave by then has expired.
    """

    metric: str = "qlike"
    tolerance: float = 0.02
    window_sessions: int = 250
    answer_hours: float = 72.0


@dataclass(frozen=True, slots=True)
class MonitoringSpec:
    """When the champion is no longer relied on, see docs/model-monitoring.md.

    Attributes:
        window_sessions: the last sessions, which are compared with what the champion was trained on.
        false_alarm_rate: the probability that 250 sessions without drift have any breach.
        least_psi: a difference of distributions with a smaller population stability index does not matter.
        cooldown_days: so long after one retraining no drift starts another.
    """

    window_sessions: int = 21
    false_alarm_rate: float = 0.05
    least_psi: float = 0.1
    cooldown_days: int = 30


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's specification, validated.

    Attributes:
        model: the metadata that people write; the trainer adds the framework.
        columns: features in the order the model takes them.
        target: what is forecast.
        statements: what people state on the model card beside the metadata: texts by name.
        problem: what kind of thing it is to find out, of `domain.risk.problems.PROBLEMS`.
    """

    model: Mapping[str, Any]
    schedule: ScheduleSpec
    data: DataSpec
    columns: tuple[str, ...]
    target: str
    training: TrainingSpec
    gates: tuple[Gate, ...]
    statements: Mapping[str, str] = field(default_factory=dict)
    promotion: PromotionSpec = PromotionSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    problem: str = FORECAST

    @property
    def name(self) -> str:
        return str(self.model["name"])

    def metadata(self, framework: str) -> ModelMetadata:
        """The metadata of a version trained with a framework."""
        return ModelMetadata(**self.model, framework=framework)

    @classmethod
    def load(cls, path: Path) -> ModelSpec:
        """Read and validate a specification file.

        Raises:
            InvalidInput: naming the file, table or setting that is missing, unknown or wrong.
        """
        try:
            text = path.read_bytes().decode("utf-8")
            tables = tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise InvalidInput("spec", str(path), f"give a readable TOML file ({error})") from error
        try:
            return cls.parse(tables)
        except InvalidInput as error:
            raise InvalidInput(f"{path.name}: {error.field}", error.value, error.remedy) from error

    @classmethod
    def parse(cls, tables: object) -> ModelSpec:
        """Validate the tables and the list gates; `problem`, [card], [promotion] and [monitoring] may be left
        out."""
        optional = {"problem": FORECAST, "card": {}, "promotion": {}, "monitoring": {}}
        names = ("model", "schedule", "data", "features", "training", "gates", *optional)
        given = {**optional, **tables} if isinstance(tables, Mapping) else tables
        spec = Fields.of("spec", given, names)
        model = Fields.of("model", spec.values["model"], _MODEL)
        features = Fields.of("features", spec.values["features"], ("columns", "target"))
        gates = spec.items("gates")
        if not gates:
            raise InvalidInput(
                "gates", [], "add at least one gate, nothing is registered without being judged"
            )
        tier = as_risk_tier("model.risk_tier", model.values["risk_tier"])
        parsed = cls(
            model=dict(model.values),
            schedule=_schedule(spec.values["schedule"]),
            data=_data(spec.values["data"]),
            columns=_texts("features.columns", features.values["columns"], least=1),
            target=features.text("target"),
            training=_training(spec.values["training"], listed(spec.values["problem"]).comparable),
            gates=tuple(_gate(f"gates[{index}]", table, tier) for index, table in enumerate(gates)),
            statements=_statements(spec.values["card"]),
            promotion=_promotion(spec.values["promotion"], listed(spec.values["problem"]).comparable),
            monitoring=_monitoring(spec.values["monitoring"]),
            problem=spec.values["problem"],
        )
        parsed.metadata("unknown until it is trained")
        return parsed


def _data(value: object) -> DataSpec:
    settings = _known("data", value, DataSpec)
    for name in ("source", "calendar"):
        as_text(f"data.{name}", settings.get(name))
    wait = settings.get("wait_hours", 6.0)
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 24 * 14:
        raise InvalidInput("data.wait_hours", wait, "give hours from 0 to 336")
    assets = _texts("data.assets", settings.get("assets", []))
    return DataSpec(settings["source"], settings["calendar"], assets, float(wait))


def _schedule(value: object) -> ScheduleSpec:
    settings = _known("schedule", value, ScheduleSpec)
    every = as_text("schedule.every", settings.get("every"))
    start = _day("schedule.start", settings.get("start"))
    end = None if settings.get("end") is None else _day("schedule.end", settings["end"])
    if end is not None and end < start:
        raise InvalidInput("schedule.end", str(end), f"give a date not before the start, {start}")
    return ScheduleSpec(every, start, end)


def _day(name: str, value: object) -> dt.date:
    if type(value) is not dt.date:
        raise InvalidInput(name, value, "give a date as YYYY-MM-DD, without quotes")
    return value


def _training(value: object, comparable: tuple[str, ...]) -> TrainingSpec:
    settings = _known("training", value, TrainingSpec)
    as_text("training.trainer", settings.get("trainer"))
    seed = settings.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InvalidInput("training.seed", seed, "give a whole number from 0 to 4294967295")
    parameters = settings.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise InvalidInput("training.parameters", parameters, "give a table of names and values")
    rivals = settings.get("rivals", {})
    if not isinstance(rivals, Mapping) or not all(isinstance(given, Mapping) for given in rivals.values()):
        raise InvalidInput(
            "training.rivals", rivals, "give a table of parameters by trainer, such as { ridge = {} }"
        )
    if settings["trainer"] in rivals:
        raise InvalidInput("training.rivals", settings["trainer"], "remove it, it is the trainer already")
    best_by = as_text("training.best_by", settings.get("best_by", comparable[0]))
    if best_by not in comparable:
        raise InvalidInput("training.best_by", best_by, f"use one of {', '.join(comparable)}")
    each = {name: dict(given) for name, given in rivals.items()}
    tuning = TuningSpec.parse(settings["tuning"]) if "tuning" in settings else None
    for name in () if tuning is None else set(tuning.space) & set(parameters):
        raise InvalidInput(
            "training.tuning.space", name, "remove it, training.parameters says what it is already"
        )
    return TrainingSpec(settings["trainer"], seed, dict(parameters), each, best_by, tuning)


def _promotion(value: object, comparable: tuple[str, ...]) -> PromotionSpec:
    settings, default = _known("promotion", value, PromotionSpec), PromotionSpec()
    metric = as_text("promotion.metric", settings.get("metric", comparable[0]))
    if metric not in comparable:
        raise InvalidInput("promotion.metric", metric, f"use one of {', '.join(comparable)}")
    return PromotionSpec(
        metric,
        _between("promotion.tolerance", settings, default.tolerance, 0.0, 1.0),
        int(_between("promotion.window_sessions", settings, default.window_sessions, 20, 2000)),
        _between("promotion.answer_hours", settings, default.answer_hours, 0.001, 24 * 90),
    )


def _monitoring(value: object) -> MonitoringSpec:
    settings, default = _known("monitoring", value, MonitoringSpec), MonitoringSpec()
    return MonitoringSpec(
        int(_between("monitoring.window_sessions", settings, default.window_sessions, 5, 250)),
        _between("monitoring.false_alarm_rate", settings, default.false_alarm_rate, 0.001, 0.5),
        _between("monitoring.least_psi", settings, default.least_psi, 0.0, 10.0),
        int(_between("monitoring.cooldown_days", settings, default.cooldown_days, 0, 3650)),
    )


def _between(field_name: str, settings: Mapping[str, Any], default: float, low: float, high: float) -> float:
    value = settings.get(field_name.rpartition(".")[2], default)
    if isinstance(value, bool) or not isinstance(value, type(default) | int) or not low <= value <= high:
        kind = "whole number" if isinstance(default, int) else "number"
        raise InvalidInput(field_name, value, f"give a {kind} from {low:g} to {high:g}")
    return value


def _statements(value: object) -> Mapping[str, str]:
    known = [name for names in STATEMENTS.values() for name in names]
    if not isinstance(value, Mapping):
        raise InvalidInput("card", value, "give a table")
    for name in value:
        if name not in known:
            raise InvalidInput(f"card.{name}", value[name], f"no such statement, use {', '.join(known)}")
    return {name: as_text(f"card.{name}", text) for name, text in value.items()}


def _gate(field_name: str, table: object, risk_tier: RiskTier) -> Gate:
    if not isinstance(table, Mapping):
        raise InvalidInput(field_name, table, 'give a table with a kind, such as kind = "coverage"')
    settings = {name: value for name, value in table.items() if name != "kind"}
    factory = resolve(f"{field_name}.kind", table.get("kind"), GATES)
    if factory is CompleteCard:
        if "risk_tier" in settings:
            raise InvalidInput(
                f"{field_name}.risk_tier", settings["risk_tier"], "remove it, model.risk_tier counts"
            )
        settings["risk_tier"] = risk_tier
    return build_gate(field_name, factory, settings)


def _known(
    name: str,
    value: object,
    spec: type[DataSpec | ScheduleSpec | TrainingSpec | PromotionSpec | MonitoringSpec],
) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(name, value, "give a table")
    known = tuple(spec.__slots__)
    for setting in value:
        if setting not in known:
            raise InvalidInput(
                f"{name}.{setting}", value[setting], f"no such setting, use {', '.join(known)}"
            )
    return value


def _texts(name: str, value: object, least: int = 0) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) < least:
        raise InvalidInput(name, value, f"give a list of at least {least} names")
    texts = tuple(as_text(name, item) for item in value)
    if len(set(texts)) != len(texts):
        raise InvalidInput(name, value, "name each only once")
    return texts

"""Turns a function that composes steps, and a specification, into an Airflow DAG with a form."""

from __future__ import annotations

import datetime as dt
import inspect
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.risk.problems import require_solves
from domain.risk.spec import ModelSpec
from veritasvault.bootstrap import ENGINES, bootstrap
from veritasvault.source_address import PATTERN, require_open
from veritasvault.tasks.alerts import alerts
from veritasvault.tasks.assets import REGISTERED, drift_of

if TYPE_CHECKING:
    from airflow.sdk import DAG, Param
    from airflow.timetables.trigger import CronTriggerTimetable

_RETRIES = 3


def model_pipeline(spec_file: str) -> Callable[[Callable[[str], Any]], DAG]:
    """Decorate a function that calls steps with the path of its specification.

    Args:
        spec_file: TOML file beside the DAG file; gives the DAG its id, schedule, form and documentation.

    Raises:
        InvalidInput: the specification cannot be used; Airflow shows the sentence as an import error.
    """

    def decorate(compose: Callable[[str], Any]) -> DAG:
        from airflow.sdk import dag
        from airflow.timetables.assets import AssetOrTimeSchedule

        path = Path(inspect.getfile(compose)).with_name(spec_file)
        spec = ModelSpec.load(path)

        @dag(
            dag_id=spec.name,
            description=spec.model["purpose"],
            doc_md=f"{inspect.getdoc(compose) or spec.model['purpose']}\n\n{_card(spec)}",
            params=form(spec),
            schedule=AssetOrTimeSchedule(timetable=_timetable(spec), assets=[drift_of(spec.name)]),
            start_date=_midnight(spec.schedule.start),
            catchup=False,
            default_args=default_args(spec.model["owner"]),
            tags=["model", f"tier-{int(spec.model['risk_tier'])}"],
        )
        def pipeline() -> None:
            compose(str(path))

        return pipeline()

    return decorate


def model_promotions(compose: Callable[[list[str]], Any]) -> DAG:
    """Decorate a function that decides on challengers, given the paths of all specifications beside its file.

    It runs when a model was registered, and daily, so that a lost event costs nothing.
    """
    from airflow.sdk import dag
    from airflow.timetables.assets import AssetOrTimeSchedule
    from airflow.timetables.trigger import CronTriggerTimetable

    specs = sorted(Path(inspect.getfile(compose)).parent.glob("*.toml"))
    models = [ModelSpec.load(spec).name for spec in specs]

    @dag(
        dag_id=compose.__name__,
        description="Puts challengers before those who decide, and the approved in the champion's place.",
        doc_md=inspect.getdoc(compose),
        params={
            "model": model_param(models, "Decide on this model alone, and ask again. Empty: all models.")
        },
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("@daily", timezone="UTC"), assets=[REGISTERED]
        ),
        start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        # A run waits for people for days; the others go on meanwhile.
        max_active_runs=100,
        default_args=default_args(),
        tags=["promotion"],
    )
    def pipeline() -> None:
        compose([str(spec) for spec in specs])

    return pipeline()


def registry_audit(compose: Callable[[], Any]) -> DAG:
    """Decorate a function that verifies the registry; it runs daily, and people are told of a failure."""
    from airflow.sdk import dag

    @dag(
        dag_id=compose.__name__,
        description="Verifies the ledger and a share of the stored models.",
        doc_md=inspect.getdoc(compose),
        schedule="@daily",
        start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        max_active_runs=1,
        default_args={**default_args(), "on_failure_callback": alerts()},
        tags=["audit"],
    )
    def pipeline() -> None:
        compose()

    return pipeline()


def model_monitoring(compose: Callable[[list[str]], Any]) -> DAG:
    """Decorate a function that monitors champions, given the paths of all specifications beside its file.

    It runs daily, and tries again for as long as a session's data may still arrive.
    """
    from airflow.sdk import dag

    paths = sorted(Path(inspect.getfile(compose)).parent.glob("*.toml"))
    specs = [ModelSpec.load(path) for path in paths]
    pause = bootstrap().settings.retry_seconds
    wait = max((spec.data.wait_hours * 3600 for spec in specs), default=0.0)

    @dag(
        dag_id=compose.__name__,
        description="Compares what champions see with their training; drift starts a retraining.",
        doc_md=inspect.getdoc(compose),
        params={
            "model": model_param(
                (spec.name for spec in specs), "Monitor this model's champion alone. Empty: all models."
            ),
            "as_of": day_param(
                "As-of date", "The last session to look at. Empty: that of the run's logical date, or now."
            ),
        },
        schedule="@daily",
        start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        default_args={
            **default_args(),
            "retries": _RETRIES + math.ceil(wait / pause),
            "on_failure_callback": alerts(),
        },
        tags=["monitoring"],
    )
    def pipeline() -> None:
        compose([str(path) for path in paths])

    return pipeline()


def model_reproduction(compose: Callable[[], Any]) -> DAG:
    """Decorate a function that trains a version again; it runs when somebody asks for it, by a form."""
    from airflow.sdk import Param, dag

    @dag(
        dag_id=compose.__name__,
        description="Trains a registered version again from its own record, and compares.",
        doc_md=inspect.getdoc(compose),
        params={
            "reference": Param(
                None,
                type="string",
                minLength=1,
                title="Version",
                description="NAME@VERSION, NAME@champion, NAME@latest or a model id.",
            ),
            "engine": Param(
                None,
                type=["null", "string"],
                enum=[None, *ENGINES],
                title="Engine",
                description="What prepares the features. Empty: what the version was made on.",
            ),
            "here": Param(
                False,
                type="boolean",
                title="Use what is here",
                description="Use this code and environment where the recorded ones cannot be had.",
            ),
        },
        schedule=None,
        catchup=False,
        default_args=default_args(),
        tags=["reproduction"],
    )
    def pipeline() -> None:
        compose()

    return pipeline()


def form(spec: ModelSpec) -> dict[str, Param]:
    """The trigger form: as-of date, engine, source, assets and the trainer's parameters."""
    from airflow.sdk import Param

    require_open("data.source", spec.data.source)
    fields = {
        "as_of": day_param(
            "As-of date", "The run sees nothing after this day. Empty: the run's logical date, or now."
        ),
        "engine": Param(
            ENGINES[0],
            type="string",
            enum=list(ENGINES),
            title="Engine",
            description="What distributes the data preparation. Every engine gives the same bytes.",
        ),
        "source": Param(
            spec.data.source,
            type="string",
            minLength=1,
            pattern=PATTERN,
            title="Source",
            description="URI of the rows (asset, date, close, what else features need) as Parquet or CSV: "
            "sample://sp500, sample://vault_flows/SEED, a path, s3://bucket/key or snapshot:SHA256. "
            "{as_of} stands for the resolved session.",
        ),
        "assets": Param(
            list(spec.data.assets) or None,
            type=["null", "array"],
            items={"type": "string"},
            title="Assets",
            description="One name a line. Empty: all assets of the source.",
        ),
    }
    trainer = bootstrap().trainer(spec.training.trainer)
    require_solves(trainer, spec.training.trainer, spec.problem)
    searched = () if spec.training.tuning is None else spec.training.tuning.space
    for name, parameter in trainer.parameters().items():
        default = spec.training.parameters.get(name, parameter.default)
        limits = {"minimum": parameter.minimum, "maximum": parameter.maximum}
        kind, open_ = _TYPES[type(parameter.default)], [None] if name in searched else []
        fields[name] = Param(
            None if name in searched else default,
            type=["null", kind] if name in searched else kind,
            title=name,
            description=f"{parameter.help} Empty: it is searched for."
            if name in searched
            else parameter.help,
            section="Trainer",
            **{limit: value for limit, value in limits.items() if value is not None},
            **({"enum": [*parameter.choices, *open_]} if parameter.choices else {}),
        )
    return fields


def default_args(owner: str = "model-risk") -> dict[str, Any]:
    """Whose a DAG's tasks are, and how often and after which pause they are tried again."""
    pause = dt.timedelta(seconds=bootstrap().settings.retry_seconds)
    return {"owner": owner, "retries": _RETRIES, "retry_delay": pause}


def _timetable(spec: ModelSpec) -> CronTriggerTimetable:
    from airflow.timetables.trigger import CronTriggerTimetable

    from veritasvault.timetables import CronUntil

    schedule = spec.schedule
    if schedule.end is None:
        return CronTriggerTimetable(schedule.every, timezone="UTC")
    return CronUntil(schedule.every, schedule.end)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _card(spec: ModelSpec) -> str:
    model = spec.model
    gates = ", ".join(gate.label for gate in spec.gates)
    return (
        f"**Intended use.** {model['intended_use']}\n\n**Limitations.** {model['limitations']}\n\n"
        f"**Features.** {', '.join(spec.columns)}\n\n**Target.** {spec.target}\n\n**Gates.** {gates}"
    )


def model_param(names: Iterable[str], description: str) -> Param:
    """A form's field for one of some models, or none."""
    from airflow.sdk import Param

    return Param(None, type=["null", "string"], enum=[None, *names], title="Model", description=description)


def day_param(title: str, description: str) -> Param:
    """A form's field for a day that may be left out."""
    from airflow.sdk import Param

    return Param(None, type=["null", "string"], format="date", title=title, description=description)

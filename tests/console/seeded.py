"""A registry with something in it: a tier 1 champion with a challenger, one from outside, a damaged one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from domain.registry.canonical import digest
from domain.registry.evidence import Attachment, DataValidation, Evidence, LookAhead
from domain.registry.gates import BetterThanBaseline, DataValidated, NoLookAhead
from domain.registry.lineage import Lineage
from domain.registry.metadata import ModelMetadata
from domain.registry.registration import RegisteredModel
from veritasvault.bootstrap import Application, bootstrap

FORECAST, VENDOR, DAMAGED = "forecast", "vendor_vol", "damaged"
RUN = ("volatility_forecast", "manual__2022-12-30T00:00:00+00:00")
ROLES = """[roles]
risk_officer = ["olga", "arthur"]
model_validator = ["vera"]
[people]
arthur = ["arthur@example.com"]
"""
USERS = {
    "admin": "admin",
    "vic": "viewer",
    "una": "user",
    "otto": "op",
    "olga": "op",
    "vera": "user",
    "arthur": "user",
    "nina": "",
}
"""Role in Airflow by name; olga and vera may decide on what arthur made, otto and una have no role here."""

_METADATA = {
    "purpose": "Forecast volatility",
    "owner": "quant-research",
    "framework": "tests",
    "intended_use": "Position sizing",
    "limitations": "US equities only",
}
_GATES = (BetterThanBaseline("qlike", "ewma", 0.02), DataValidated(), NoLookAhead())
_PLOT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def seed(home: Path) -> Application:
    """Register and promote; arthur wrote the code, so that he may approve nothing."""
    home.mkdir(parents=True)
    (home / "roles.toml").write_text(ROLES)
    application = bootstrap({"VERITAS_HOME": str(home), "VERITAS_CODE_VERSION": "test"})
    register(application, home, 1, dt.date(2022, 6, 30), 0.55)
    decide(application, 1)
    register(application, home, 2, dt.date(2022, 12, 30), 0.54)
    outside = ModelMetadata.from_json({**_METADATA, "name": VENDOR, "risk_tier": 2})
    application.registration.register_model(
        outside, _artifact(home, 99), provenance={"actor": "tester", "triggered_by": "tester"}
    )
    for number in (3, 4):
        register(application, home, number, dt.date(2022, 3, number), 0.5, DAMAGED)
    application.ledger.checkpoint()
    _damage(application, home)
    return application


def _damage(application: Application, home: Path) -> None:
    """Somebody changes a file of `damaged@1`, and the manifest of `damaged@2`."""
    changed = {1: "artifact/weights.json", 2: "metadata.json"}
    for version, path in changed.items():
        row = application.catalog.resolve(f"{DAMAGED}@{version}")
        file = home / "registry" / "models" / row.model_id / path
        content = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(content.replace(b"weights", b"Weights"))


def register(
    application: Application, home: Path, seed: int, as_of: dt.date, qlike: float, name: str = FORECAST
) -> RegisteredModel:
    """A version that was trained here by a run of Airflow, with evidence and a picture that has a script."""
    same = {field: digest(field.encode()) for field in ("data", "features", "sources", "environment")}
    return application.registration.register_model(
        ModelMetadata.from_json({**_METADATA, "name": name, "risk_tier": 1}),
        _artifact(home, seed),
        lineage=Lineage(**same, parameters={"trainer": "ridge", "alpha": 0.5 * seed}, seed=seed, as_of=as_of),
        evidence=Evidence(
            metrics={"qlike": qlike, "rmse": 0.16},
            baselines={"ewma": {"qlike": 0.586, "rmse": 0.162}},
            data_validation=DataValidation(12),
            look_ahead=LookAhead(("2020-01-02",), 8),
            details={"features": [{"name": "vol_22", "about": "Volatility of a month", "rows": 22}]},
        ),
        gates=_GATES,
        attachments=(Attachment("calibration.svg", "image/svg+xml", _PLOT),),
        provenance={
            "actor": "tester",
            "author": "Arthur",
            "author_email": "arthur@example.com",
            "dag_id": RUN[0],
            "run_id": RUN[1],
            "snapshot": digest(b"raw"),
        },
    )


def decide(application: Application, version: int) -> None:
    """Both roles approve, and the version is promoted."""
    lifecycle = application.lifecycle
    for person, role in (("olga", "risk_officer"), ("vera", "model_validator")):
        lifecycle.approve(FORECAST, lifecycle.propose("promote", FORECAST, version, "good", person), role)
    outcome = lifecycle.carry_out(
        FORECAST, lifecycle.propose("promote", FORECAST, version, "quarterly review", "olga")
    )
    assert outcome.state.champion == version, outcome.reasons


def _artifact(home: Path, number: int) -> Path:
    folder = home / f"artifact-{number}"
    folder.mkdir()
    (folder / "weights.json").write_text(f'{{"weights": [0.1, {number}]}}\n')
    return folder

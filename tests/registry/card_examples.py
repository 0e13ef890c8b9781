"""A small candidate and a small version with fixed values, for tests of what their cards look like."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from typing import Any

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import digest
from domain.registry.card import Figure, LedgerRecord, Rival, Subject
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import ModelApprovedEvent, ModelPromotedEvent
from domain.registry.evidence import AttachmentRef, DataValidation, Evidence, GateResult, LookAhead
from domain.registry.ledger.checkpoint import Checkpoint
from domain.registry.ledger.ledger import Recorded
from domain.registry.lineage import Lineage
from domain.registry.manifest import Manifest
from domain.registry.metadata import ModelMetadata, RiskTier
from domain.registry.policy import Decision

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)

METADATA = ModelMetadata(
    name="forecast",
    purpose="Forecast <volatility> & nothing else.",
    owner="quant_research",
    risk_tier=RiskTier.HIGH,
    framework="scikit-learn",
    intended_use="Position sizing.\n1. Not for margin | not for *pricing*.",
    limitations="Two shares.\n\n- No [options](http://example.org).",
)
LINEAGE = Lineage(
    **{name: digest(name.encode()) for name in ("data", "features", "sources", "environment")},  # type: ignore[arg-type]
    parameters={"trainer": "ridge", "alpha": 0.5, "log": True},
    seed=12345,
    as_of=dt.date(2022, 12, 28),
)
MANIFEST = Manifest(METADATA, LINEAGE, Artifact((ArtifactFile("model.onnx", 1234, digest(b"model")),)))


def scores(group: str, candidate: float, ewma: float) -> dict[str, Any]:
    """A group of 1,200 forecasts, as an evaluation writes it."""
    metrics = {
        "candidate": {"qlike": candidate, "r2": 0.4, "rmse": 0.15},
        "ewma": {"qlike": ewma, "r2": 0.38, "rmse": 0.16},
    }
    return {"group": group, "rows": 1200, "metrics": metrics}


DETAILS: dict[str, Any] = {
    "features": [
        {"name": "rv_5", "about": "Realised volatility over 5 days.", "rows": 6},
        {"name": "own|module:`x`", "about": "", "rows": 22},
    ],
    "target": {"name": "rv_ahead", "about": "Realised volatility over the next 5 rows.", "horizon": 5},
    "data": {"calendar": "XNYS", "first_session": "2012-01-03", "rows_with_label": 161140},
    "metrics": [
        {"name": "qlike", "about": "Less is better.", "better": "less"},
        {"name": "r2", "about": "More is better.", "better": "more"},
    ],
    "folds": [
        {
            "train_end": "2020-12-18",
            "label_end": "2020-12-28",
            "test_start": "2020-12-29",
            "test_end": "2021-12-28",
            "train_rows": 12000,
            "test_rows": 1200,
        }
    ],
    "by_year": [scores("2020-12-29/2021-12-28", 0.5, 0.6), scores("2021-12-29/2022-12-20", 0.7, 0.65)],
    "by_asset": [scores("BTC/USD", 0.55, 0.6), scores("KO", 0.65, 0.66)],
    "by_regime": [scores("calm", 0.5, 0.6), scores("stressed", 0.7, 0.8)],
    "importance": [
        {"feature": "rv_5", "qlike_rise": 0.35, "folds_worse": 1},
        {"feature": "own|module:`x`", "qlike_rise": -0.0002, "folds_worse": 0},
    ],
    "statements": {
        "assumptions": "Volatility clusters.",
        "alternatives": "EWMA.",
        "monitoring": "Daily.",
        "oversight": "The desk.",
    },
}
EVIDENCE = Evidence(
    metrics={"qlike": 0.6, "r2": 0.4, "rmse": 0.15},
    baselines={"ewma": {"qlike": 0.625, "r2": 0.38, "rmse": 0.16}},
    assets_expected=("BTC/USD", "KO", "XOM"),
    assets_covered=("BTC/USD", "KO"),
    data_validation=DataValidation(12, ("close of XOM stands still",)),
    look_ahead=LookAhead(("2020-01-02",), 1),
    details=DETAILS,
)
GATES = (
    GateResult("qlike better than ewma", "passed", "qlike is 0.6, has to be below 0.625", {"qlike": 0.6}),
    GateResult("coverage of assets", "failed", "67% of 3 assets have forecasts; missing XOM"),
)
FIGURES = (Figure("calibration.png", "image/png", PIXEL), Figure("qlike_by_asset.png", "image/png", PIXEL))
CANDIDATE = Subject(
    MANIFEST, EVIDENCE, GATES, FIGURES, {"source": "sample://sp500", "snapshot": digest(b"s")}
)

REGISTERED = ModelRegisteredEvent(
    name="forecast",
    version=2,
    model_id=MANIFEST.model_id,
    recipe=LINEAGE.recipe,
    as_of=LINEAGE.as_of,
    artifact_digest=MANIFEST.artifact.digest,
    supersedes=1,
    retrain_reason=None,
    gates=GATES,
    attachments=(
        AttachmentRef("evidence.json", "application/json", 5678, EVIDENCE.digest),
        AttachmentRef("model.sig", "application/json", 91, digest(b"signature")),
    ),
    provenance={"actor": "airflow", "run": "scheduled__2022-12-28", "source": "sample://sp500"},
    at=AT,
)
APPROVED = ModelApprovedEvent(
    name="forecast",
    sequence=0,
    version=2,
    action="promote",
    incumbent=1,
    evidence=EVIDENCE.digest,
    role="risk_officer",
    reason="Better in calm & stressed markets.",
    actor="olga",
    at=AT,
)
PROMOTED = ModelPromotedEvent(
    name="forecast",
    sequence=1,
    version=2,
    as_of=LINEAGE.as_of,
    incumbent=1,
    evidence=EVIDENCE.digest,
    approvals=(0,),
    policy=Decision(True, (), digest(b"policy"), digest(b"input")),
    reason="Approved.",
    actor="airflow",
    at=AT,
)
VERSION = dataclasses.replace(
    CANDIDATE,
    origin=REGISTERED.provenance,
    record=LedgerRecord(
        index=3,
        event=REGISTERED,
        later=(Recorded(5, APPROVED), Recorded(6, PROMOTED)),
        signed=Checkpoint("veritasvault/ledger/00112233445566778899aabbccddeeff", 17, bytes(range(32))),
        champion=Rival("forecast@1", "2022-12-27", {"qlike": 0.61, "r2": 0.39}),
    ),
)

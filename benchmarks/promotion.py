"""Promoting: proposed, approved by a person and carried out by the packaged policy, against an append."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Line, Turns, show

LIMIT = 25.0
ROUNDS = 15
ROLES = '[roles]\nrisk_officer = ["olga"]\n'


def measure() -> list[Line]:
    """The latency of a promotion of tier 2, which one person approves; every round has a new challenger."""
    from domain.registry.gates import DataValidated
    from domain.registry.metadata import RiskTier
    from tests.exactly_once.candidates import EVIDENCE, lineage, metadata, write_artifact
    from tests.fakes.events import refused
    from veritasvault.bootstrap import bootstrap

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        home = Path(directory)
        (home / "roles.toml").write_text(ROLES)
        application = bootstrap({"VERITAS_HOME": str(home), "VERITAS_CODE_VERSION": "measured"})
        about = dataclasses.replace(metadata(), risk_tier=RiskTier.MEDIUM)
        for number in range(ROUNDS + 1):
            application.registration.register_model(
                about,
                write_artifact(home / "artifacts", number),
                lineage=dataclasses.replace(
                    lineage(number), as_of=dt.date(2020, 1, 1) + dt.timedelta(days=number)
                ),
                evidence=EVIDENCE,
                gates=(DataValidated(),),
                provenance={"author": "carl"},
            )
        lifecycle, ledger = application.lifecycle, application.ledger

        def promote(number: int) -> None:
            proposal = lifecycle.propose("promote", about.name, number + 2, "measured", "olga")
            lifecycle.approve(about.name, proposal, "risk_officer")
            outcome = lifecycle.carry_out(about.name, proposal)
            if outcome.state.champion != number + 2:
                raise SystemExit(f"version {number + 2} was not promoted: {outcome.reasons}")

        def append(number: int) -> None:
            ledger.commit(lambda _: [refused(number)])

        took = Turns.of(promote, append, ROUNDS)
    return [
        Line.of("propose, approve and carry out a promotion, ms", [s * 1000 for s in took.ours], None),
        Line.of("the same / one bare append to the same ledger", took.ratios, LIMIT),
    ]


if __name__ == "__main__":
    sys.exit(show("Promotion", measure()))

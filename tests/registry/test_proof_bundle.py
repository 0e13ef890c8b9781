"""Proof bundles: what they prove without the registry, and that no bit of one can change unseen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from domain.registry.canonical import Digest, decode, digest, encode
from domain.registry.card import to_markdown
from domain.registry.card.model_cards import ModelCards
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.events import KeyRevokedEvent
from domain.registry.evidence import Evidence
from domain.registry.gates import Threshold
from domain.registry.ledger.checkpoint import Checkpoint, sign_checkpoint
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.merkle import root_of
from domain.registry.lifecycle.service import ModelLifecycle
from domain.registry.proofs.bundle import PROOF_FORMAT, BundledEntry, ProofBundle
from domain.registry.proofs.card import card_of
from domain.registry.proofs.check import ProofReport, verify_proof
from domain.registry.proofs.export import ProofExport
from domain.registry.registration import ModelRegistration
from domain.registry.security import SecurityService
from domain.registry.signing.public_keys import fingerprint
from tests.exactly_once.candidates import lineage, metadata, write_artifact
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.fakes.signer import FakeSigner
from tests.registry.board import NAME, NOON, ROLES, Permissive, StoppedClock
from tests.registry.test_checkpoint import GOLDEN, REWRITE, FixedSigner
from veritasvault.adapters.format_scanner import FormatScanner
from veritasvault.adapters.signature_check import verify_signature

SECRET = bytes(31) + b"\x07"


class Office:
    """A registry whose keys, times and origin are always the same, so that its bundles can be compared."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        port = FakeLedger()
        port._origin = "veritasvault/ledger/00112233445566778899aabbccddeeff"
        self.ledger = Ledger(port, FixedSigner(directory / "keys"))
        self.repository = FakeModelRegistry()
        self.catalog = ModelCatalog(self.repository, self.ledger)
        self.export = ProofExport(self.catalog, self.ledger)
        self._registration = ModelRegistration(
            self.repository,
            SecurityService(FormatScanner(), FakeSigner("ecdsa-p256", [SECRET])),
            self.ledger,
            staging=directory / "staging",
            clock=StoppedClock(),
        )
        self._lifecycle = ModelLifecycle(
            self.catalog, self.ledger, Permissive(), roles=ROLES, clock=StoppedClock()
        )

    def submit(self, candidate: int, name: str = NAME) -> None:
        self._registration.register_model(
            metadata(name),
            write_artifact(self._directory, candidate),
            lineage=lineage(candidate),
            evidence=Evidence(metrics={"qlike": 0.5}),
            gates=(Threshold("qlike", maximum=1.0),),
        )

    def registered(self, candidate: int) -> int:
        self.submit(candidate)
        return self.catalog.resolve(f"{NAME}@latest").version

    def approve_champion(self, version: int) -> None:
        for person, role in (("olga", "risk_officer"), ("vera", "model_validator")):
            mine = self._lifecycle.propose("promote", NAME, version, "figures are fine", person)
            self._lifecycle.approve(NAME, mine, role)
        self._lifecycle.carry_out(
            NAME, self._lifecycle.propose("promote", NAME, version, "figures are fine", "olga")
        )

    def reject(self, version: int) -> None:
        self._lifecycle.reject(NAME, version, "odd prices", "olga")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """Two models of two names, the first with a later event."""
    office = Office(tmp_path)
    office.submit(1)
    office.submit(2, "other")
    office.reject(1)
    return office


@pytest.fixture(params=["version", "full"])
def bundle(request: pytest.FixtureRequest, office: Office) -> ProofBundle:
    return office.export.bundle(f"{NAME}@1", full=request.param == "full")


def check(bundle: ProofBundle, *trusted: Digest) -> ProofReport:
    return verify_proof(bundle, verify_signature, trusted)


def signer_of(office: Office) -> Digest:
    return fingerprint(office.ledger.signer.public_keys()[0])


def objects(bundle: ProofBundle) -> list[str]:
    return [problem.object for problem in check(bundle).problems]


def test_a_bundle_proves_a_version_to_whoever_trusts_the_key(office: Office, bundle: ProofBundle) -> None:
    """With its later events and its artifact's key; other models' entries are in full bundles alone."""
    read = ProofBundle.from_bytes(bundle.to_bytes())
    report = check(read, signer_of(office))
    assert (report.verified, report.problems) == (True, ())
    assert [found.event.KIND for found in report.later] == ["ModelRejected"]
    assert report.artifact_key == fingerprint(FakeSigner("ecdsa-p256", [SECRET]).public_keys()[0])
    assert report.complete == (bundle.scope == "full")
    assert (b'"name":"other"' in b"".join(entry.data for entry in read.entries)) == report.complete


def test_without_a_trusted_key_a_bundle_is_consistent_and_no_more(bundle: ProofBundle) -> None:
    report = check(bundle, Digest("0" * 64))
    assert (report.consistent, report.trusted, report.verified) == (True, False, False)


@pytest.mark.parametrize("scope", ["version", "full"])
def test_bundles_have_the_golden_bytes_and_verify_forever(office: Office, scope: str) -> None:
    """REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file = GOLDEN / f"proof-{scope}.json"
    if REWRITE:
        file.write_bytes(office.export.bundle(f"{NAME}@1", full=scope == "full").to_bytes())
    assert office.export.bundle(f"{NAME}@1", full=scope == "full").to_bytes() == file.read_bytes()
    assert check(ProofBundle.from_bytes(file.read_bytes()), signer_of(office)).verified


@pytest.mark.parametrize(("scope", "step"), [("version", 1), ("full", 7)])
def test_no_changed_byte_of_a_bundle_file_goes_unseen(office: Office, scope: str, step: int) -> None:
    """One bit of each byte, all eight places in turn; full bundles differ in their entries' proofs alone."""
    data = (GOLDEN / f"proof-{scope}.json").read_bytes()
    trusted = signer_of(office)
    for place in range(0, len(data), step):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            report = check(ProofBundle.from_bytes(bytes(changed)), trusted)
        except NotVerified:
            continue
        assert not report.verified, f"byte {place} of {data[place - 20 : place + 20]!r}"


def test_what_does_not_hold_is_named(bundle: ProofBundle) -> None:
    """The object in question, for each part of a bundle."""
    attachments = dict(bundle.attachments)
    first = next(iter(attachments))
    extra = {digest(b"new"): b"new"}
    without = {sha256: content for sha256, content in attachments.items() if sha256 != first}
    changed = {**attachments, first: attachments[first] + b" "}
    cases: list[tuple[dict[str, object], str]] = [
        ({"manifest": bundle.manifest.replace(b"quant", b"fraud")}, "manifest"),
        ({"checkpoint": bundle.checkpoint.replace(b"\n5\n", b"\n6\n")}, "checkpoint"),
        ({"key": bundle.key[:-1] + "?"}, "key"),
        ({"version": 2}, "subject"),
        ({"index": 0}, "subject"),
        ({"attachments": without}, "attachment "),
        ({"attachments": changed}, "attachment "),
        ({"attachments": {**attachments, **extra}}, f"attachment {digest(b'new')}"),
    ]
    for change, named in cases:
        found = objects(dataclasses.replace(bundle, **change))  # type: ignore[arg-type]
        assert any(each.startswith(named) for each in found), (change, found)
    for place, entry in enumerate(bundle.entries):
        entries = list(bundle.entries)
        entries[place] = dataclasses.replace(entry, data=entry.data.replace(b"2022", b"2023"))
        found = objects(dataclasses.replace(bundle, entries=tuple(entries)))
        assert ("entries" if bundle.scope == "full" else f"ledger entry {entry.index}") in found


def test_a_card_is_made_of_a_bundle_that_holds_and_of_no_other(office: Office) -> None:
    """It says what the registry's own card says, as long as no other champion is compared with."""
    office.approve_champion(office.registered(3))
    bundle = office.export.bundle(f"{NAME}@2")
    made = to_markdown(card_of(bundle, check(bundle)))
    assert made == to_markdown(ModelCards(office.catalog, office.ledger).card(f"{NAME}@2"))
    assert "in use: champion" in made
    changed = dataclasses.replace(bundle, manifest=bundle.manifest + b" ")
    with pytest.raises(NotVerified, match="no card is made"):
        card_of(changed, check(changed))


def test_a_left_out_event_shows_in_a_full_bundle_alone(office: Office) -> None:
    """A later event; events about keys are numbered, so that they are missed in both."""
    brief, full = (office.export.bundle(f"{NAME}@1", full=full) for full in (False, True))
    shortened = [dataclasses.replace(each, entries=each.entries[:-1]) for each in (brief, full)]
    assert check(shortened[0]).consistent
    assert not check(shortened[0]).complete
    assert objects(shortened[1]) == ["entries"]
    assert "ledger entry 1" in objects(dataclasses.replace(brief, entries=brief.entries[1:]))


def test_a_signature_holds_only_by_a_key_that_the_ledger_introduced(office: Office) -> None:
    """The artifact's key is not trusted by itself: without the entry about it there is no signer."""
    bundle = office.export.bundle(f"{NAME}@1")
    kept = tuple(entry for entry in bundle.entries if b'"kind":"KeyIntroduced"' not in entry.data)
    assert len(kept) == len(bundle.entries) - 2
    assert objects(dataclasses.replace(bundle, entries=kept)) == ["signature"]


def test_a_checkpoint_by_a_revoked_key_proves_nothing(office: Office) -> None:
    """Even if its signature holds and its fingerprint is trusted; the place in the ledger counts."""
    good = office.export.bundle(f"{NAME}@1", full=True)
    signer, port = office.ledger.signer, office.ledger.port
    sequence = len(list(office.ledger.view().key_events()))
    stolen = KeyRevokedEvent(sequence, signer_of(office), "stolen", {"actor": "olga"}, NOON)
    office.ledger.commit(lambda view: [stolen])
    head = Checkpoint(port.origin(), port.size(), root_of(port.size(), port.nodes))
    entries = tuple(BundledEntry(entry.index, entry.data, ()) for entry in port.read(0))
    later = dataclasses.replace(good, checkpoint=sign_checkpoint(head, signer), entries=entries)
    assert check(good, signer_of(office)).verified
    (problem,) = check(later, signer_of(office)).problems
    assert (problem.object, "is revoked since ledger entry" in problem.reason) == ("checkpoint", True)


def test_a_bundle_that_would_not_verify_is_not_handed_out(office: Office) -> None:
    row = office.catalog.resolve(f"{NAME}@1")
    event = office.catalog.event(row)
    place = f"models/{event.model_id}/attachments/{event.attachments[0].sha256}"
    office.repository.objects[place] = b"other"
    with pytest.raises(IntegrityError, match="its bytes are not those the ledger names"):
        office.export.bundle(f"{NAME}@1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "veritasvault/proof/v2"}, f"only {PROOF_FORMAT} is known"),
        ({"scope": "some"}, "bundle.scope is 'some'"),
        ({"entries": [{"index": 0, "entry": "{}", "proof": ["AAAA"]}]}, "entry.proof"),
        ({"entries": [{"index": i, "entry": "{}", "proof": []} for i in (1, 0)]}, "in the order"),
        ({"attachments": {"x": ""}}, "bundle.attachments is 'x'"),
        ({"manifest": 1}, "bundle.manifest is 1"),
        ({"extra": 1}, "bundle.extra"),
    ],
)
def test_a_bundle_with_a_wrong_field_says_which(
    office: Office, change: dict[str, object], message: str
) -> None:
    fields = decode(office.export.bundle(f"{NAME}@1").to_bytes(), "bundle")
    assert isinstance(fields, dict)
    with pytest.raises(NotVerified, match=message):
        ProofBundle.from_bytes(encode({**fields, **change}))

"""Signing keys over time: introduced before they sign, rotated, revoked from a ledger entry on."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from domain.registry.artifact import StagedArtifact
from domain.registry.audit import Audit
from domain.registry.canonical import decode, encode
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import (
    GateFailed,
    IntegrityError,
    InvalidInput,
    NotFound,
    SigningKeyRevoked,
    Unavailable,
)
from domain.registry.events import (
    DomainEvent,
    KeyIntroducedEvent,
    KeyRevokedEvent,
    ModelRegisteredEvent,
    event_from_bytes,
    event_to_bytes,
)
from domain.registry.evidence import Attachment, AttachmentRef
from domain.registry.gates import DataValidated
from domain.registry.ledger.checkpoint import open_checkpoint, sign_checkpoint
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.manifest import ModelId
from domain.registry.ports import PublicKey, StoredCheckpoint
from domain.registry.registration import ModelRegistration, RegisteredModel
from domain.registry.security import SecurityService
from domain.registry.signing.key_management import KeyManagement
from domain.registry.signing.model_signature import ModelSignature, sign_model
from domain.registry.signing.public_keys import fingerprint, from_pem, from_spki, to_pem, to_spki
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.fakes.events import AT, refused
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.fakes.signer import FakeSigner
from tests.registry import strategies
from tests.registry.test_checkpoint import GOLDEN, REWRITE
from tests.registry.test_registration import BAD, StoppedClock, TextScanner


class Vault:
    """A registry on the fakes whose keys can be rotated and revoked, and processes that use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = FakeLedger()
        self.repository = FakeModelRegistry()
        self.artifact_keys: list[bytes] = []
        self.checkpoint_keys: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        """Go on as another process would."""
        self.artifacts = FakeSigner("ecdsa-p256", self.artifact_keys)
        self.checkpoints = FakeSigner("ed25519", self.checkpoint_keys)
        self.ledger = Ledger(self.port, self.checkpoints, sleep=lambda _: None)
        self.keys = KeyManagement(
            self.ledger,
            {"artifact": self.artifacts, "checkpoint": self.checkpoints},
            clock=StoppedClock(),
            provenance={"actor": "security officer"},
        )
        self.audit = Audit(self.repository, self.ledger, ModelCatalog(self.repository, self.ledger))
        self.registration = ModelRegistration(
            self.repository,
            SecurityService(TextScanner(), self.artifacts),
            self.ledger,
            staging=self.directory / "staging",
            clock=StoppedClock(),
        )

    def register(self, number: int = 1, **changes: Any) -> RegisteredModel:
        artifact = self.directory / "model.txt"
        artifact.write_text(f"weights {number}")
        arguments: dict[str, Any] = {
            "lineage": lineage(number),
            "evidence": EVIDENCE,
            "gates": (DataValidated(),),
            "provenance": {"actor": "quant"},
        }
        return self.registration.register_model(metadata(), artifact, **arguments | changes)

    @property
    def events(self) -> list[DomainEvent]:
        return [event for _, event in self.ledger.events()]

    def artifact_key(self) -> PublicKey:
        return self.artifacts.public_keys()[0]

    def problems(self) -> list[str]:
        """What a new process finds wrong with everything."""
        self.restart()
        return [str(problem) for problem in self.audit.everything().problems]

    def append(self, model: RegisteredModel, signature: ModelSignature, **changes: Any) -> None:
        """Record a version like another, with any signature, past the service that would refuse it."""
        content = signature.to_bytes()
        sha256 = self.repository.attach(model.model_id, content)
        kept = tuple(kept for kept in model.event.attachments if kept.name != "model.sig")
        reference = AttachmentRef("model.sig", "application/json", len(content), sha256)

        def decide(view: LedgerView) -> list[DomainEvent]:
            fields: dict[str, Any] = {
                "version": view.next_version(model.name),
                "retrain_reason": "a test",
                "attachments": (*kept, reference),
                "provenance": {"signing_key": signature.key},
            }
            return [dataclasses.replace(model.event, **fields | changes)]

        self.ledger.commit(decide)
        self.ledger.checkpoint()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def test_keys_are_introduced_once_in_the_append_that_first_needs_them(vault: Vault) -> None:
    """Before what they sign, by whom, and never again, also not by another process."""
    model = vault.register()
    vault.restart()
    vault.register(2)
    artifact, checkpoint, first, second = vault.events
    assert isinstance(artifact, KeyIntroducedEvent)
    assert isinstance(checkpoint, KeyIntroducedEvent)
    assert (artifact.role, artifact.to_public_key()) == ("artifact", vault.artifact_key())
    assert (checkpoint.role, checkpoint.to_public_key()) == ("checkpoint", vault.checkpoints.public_keys()[0])
    assert artifact.provenance == checkpoint.provenance == {"actor": "quant"}
    assert (model.index, first.KIND, second.KIND) == (2, "ModelRegistered", "ModelRegistered")
    assert next(vault.port.checkpoints()).size == 3


def test_a_refusal_introduces_the_key_that_signs_it(vault: Vault) -> None:
    with pytest.raises(GateFailed):
        vault.register(evidence=BAD)
    assert [event.KIND for event in vault.events] == ["KeyIntroduced", "RegistrationRefused"]
    vault.register()
    assert [event.KIND for event in vault.events[2:]] == ["KeyIntroduced", "ModelRegistered"]
    assert vault.problems() == []


def test_the_ledger_says_which_key_signed_a_version_and_has_the_digest_of_what_it_signed(
    vault: Vault,
) -> None:
    model = vault.register()
    assert model.event.provenance == {"actor": "quant", "signing_key": fingerprint(vault.artifact_key())}
    (reference,) = [kept for kept in model.event.attachments if kept.name == "model.sig"]
    assert reference.media_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
    bundle = vault.repository.read_attachment(model.model_id, reference.sha256)
    assert ModelSignature.from_bytes(bundle).key == fingerprint(vault.artifact_key())


def test_a_registration_that_is_tried_again_attaches_the_same_bytes(vault: Vault) -> None:
    """What a crash left before the commit is adopted, nothing is left over beside it."""

    class Down(FakeLedger):
        def append(self, *_: object) -> None:
            raise Unavailable("the ledger is down")

    up, vault.port = vault.port, Down()
    vault.port._origin = up.origin()
    vault.restart()
    with pytest.raises(Unavailable):
        vault.register()
    left = set(vault.repository.objects)
    assert len([key for key in left if "/attachments/" in key]) == 2
    vault.port = up
    vault.restart()
    vault.register()
    assert set(vault.repository.objects) == left


def test_the_name_of_the_signature_is_not_for_other_attachments(vault: Vault) -> None:
    with pytest.raises(InvalidInput, match=r"model\.sig.*choose another name"):
        vault.register(attachments=(Attachment("model.sig", "text/plain", b"x"),))
    assert vault.events == []


def test_a_version_from_before_artifacts_were_signed_is_verified_as_before(vault: Vault) -> None:
    """Its ledger goes on, and signs what comes next."""
    old = _unsigned(vault.register())
    origin, vault.port = vault.port.origin(), FakeLedger()
    vault.port._origin = origin
    vault.restart()
    vault.ledger.commit(lambda _: [old])
    vault.ledger.checkpoint()
    assert vault.problems() == []
    assert vault.register(1).outcome == "recognised"
    assert vault.register(2).index == 3
    assert vault.problems() == []


def test_a_version_without_a_signature_among_signed_ones_is_named(vault: Vault) -> None:
    """Or whoever can append, but has no key, would leave the signature away."""
    model = vault.register()
    again = dataclasses.replace(_unsigned(model), version=2, retrain_reason="a test")
    vault.ledger.commit(lambda _: [again])
    vault.ledger.checkpoint()
    (problem,) = vault.problems()
    assert problem == (
        f"signature of {model.name}@2 ({model.model_id}): missing, though artifacts were signed by then"
    )


@pytest.mark.parametrize("role", ["artifact", "checkpoint"])
def test_after_a_rotation_old_versions_verify_and_the_new_key_signs_the_next(vault: Vault, role: Any) -> None:
    vault.register(1)
    old = {key.fingerprint for key in vault.keys.list()}
    new = vault.keys.rotate(role)
    vault.register(2)
    vault.restart()
    model = vault.register(3)
    assert new.fingerprint not in old
    assert (new.role, new.current, new.introduced, new.revoked) == (role, True, 3, None)
    assert model.event.provenance["signing_key"] == fingerprint(vault.artifact_key())
    assert [event.KIND for event in vault.events].count("KeyIntroduced") == 3
    assert vault.problems() == []
    assert [key.current for key in vault.keys.list()] == [role != "artifact", role != "checkpoint", True]


def test_the_old_checkpoint_key_vouches_for_the_new_one(vault: Vault) -> None:
    """The checkpoint that covers the introduction is signed by the old key, the next one by the new."""
    vault.register(1)
    old = vault.checkpoints.public_keys()[0]
    introduced = vault.keys.rotate("checkpoint").introduced
    last = vault.port.last_checkpoint()
    assert last is not None
    assert last.size == (introduced or 0) + 1
    open_checkpoint(last.note, [old], vault.checkpoints.verify)
    vault.register(2)
    last = vault.port.last_checkpoint()
    assert last is not None
    open_checkpoint(last.note, vault.checkpoints.public_keys()[:1], vault.checkpoints.verify)


def test_a_rotation_that_fails_leaves_the_old_key_in_force_and_can_be_done_again(vault: Vault) -> None:
    vault.register(1)
    old = vault.artifact_key()
    real, vault.port.add_checkpoint = vault.port.add_checkpoint, _fail  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        vault.keys.rotate("artifact")
    vault.port.add_checkpoint = real  # type: ignore[method-assign]
    vault.restart()
    assert vault.artifact_key() == old
    vault.keys.rotate("artifact")
    vault.register(2)
    assert vault.problems() == []


def test_a_revoked_key_s_earlier_signatures_stay_valid_and_later_ones_are_refused(vault: Vault) -> None:
    """What counts is the entry's place: claiming an earlier time does not help."""
    model = vault.register(1)
    stolen = FakeSigner("ecdsa-p256", vault.artifact_keys)
    vault.keys.rotate("artifact")
    revoked = vault.keys.revoke(fingerprint(stolen.public_keys()[0])[:12], "stolen")
    assert (revoked.revoked, revoked.reason, revoked.current) == (4, "stolen", False)
    assert vault.problems() == []
    signature = sign_model(_manifest(vault, model), stolen)
    vault.append(model, signature, at=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    (problem,) = vault.problems()
    assert problem.startswith(f"attachment model.sig of {model.name}@2 ({model.model_id}")
    assert "is revoked since ledger entry 4" in problem
    assert vault.audit.version(f"{model.name}@1").problems == ()
    assert len(vault.audit.version(f"{model.name}@2").problems) == 1


def test_nothing_is_registered_with_a_revoked_key(vault: Vault) -> None:
    """A process that still has the old key is told what to do, and a new process succeeds."""
    vault.register(1)
    late = Vault(vault.directory)
    late.port, late.repository = vault.port, vault.repository
    late.artifact_keys, late.checkpoint_keys = vault.artifact_keys, vault.checkpoint_keys
    late.restart()
    old = fingerprint(vault.artifact_key())
    vault.keys.rotate("artifact")
    vault.keys.revoke(old, "stolen")
    size = vault.port.size()
    with pytest.raises(SigningKeyRevoked, match=rf"{old} is revoked since ledger entry 4: run veritas keys"):
        late.register(2)
    assert vault.port.size() == size
    late.restart()
    assert late.register(2).version == 2
    assert vault.problems() == []


def test_a_key_that_is_revoked_between_signing_and_the_commit_registers_nothing(vault: Vault) -> None:
    vault.register(1)
    old = fingerprint(vault.artifact_key())
    officer = Vault(vault.directory)
    officer.port, officer.repository = vault.port, vault.repository
    officer.artifact_keys, officer.checkpoint_keys = vault.artifact_keys, vault.checkpoint_keys
    officer.restart()
    real = vault.repository.store_model

    def store_late(model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        real(model_id, artifact, manifest)
        officer.keys.rotate("artifact")
        officer.keys.revoke(old, "stolen")

    vault.repository.store_model = store_late  # type: ignore[method-assign]
    with pytest.raises(SigningKeyRevoked):
        vault.register(2)
    assert [row.version for row in vault.port.versions()] == [1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("stranger", "the ledger did not know the artifact key"),
        ("checkpoint key", "the ledger did not know the artifact key"),
        ("other model", "it signs other files than the manifest lists"),
        ("posing", "does not hold"),
        ("unnamed", "is not the one in its ledger entry"),
    ],
)
def test_a_version_with_a_wrong_signature_is_named_with_the_reason(
    vault: Vault, change: str, reason: str
) -> None:
    model, other = vault.register(1), vault.register(2)
    manifest, stranger = _manifest(vault, model), FakeSigner()
    changes: dict[str, Any] = {}
    signature = sign_model(manifest, vault.artifacts)
    if change == "stranger":
        signature = sign_model(manifest, stranger)
    elif change == "checkpoint key":
        key = vault.checkpoints.public_keys()[0]
        signature = dataclasses.replace(signature, key=fingerprint(key))
    elif change == "other model":
        signature = sign_model(_manifest(vault, other), vault.artifacts)
    elif change == "posing":
        signature = dataclasses.replace(sign_model(manifest, stranger), key=signature.key)
    else:
        changes = {"provenance": {"actor": "nobody"}}
    vault.append(model, signature, **changes)
    (problem,) = vault.problems()
    assert problem.startswith(f"attachment model.sig of {model.name}@3 ({model.model_id}")
    assert reason in problem


def test_a_key_that_is_introduced_after_what_it_signed_does_not_count(vault: Vault) -> None:
    model, stranger = vault.register(), FakeSigner()
    vault.append(model, sign_model(_manifest(vault, model), stranger))
    event = KeyIntroducedEvent.of(2, "artifact", stranger.public_keys()[0], {}, AT)
    vault.ledger.commit(lambda _: [event])
    vault.ledger.checkpoint()
    (problem,) = vault.problems()
    assert "the ledger did not know the artifact key" in problem
    assert "before entry 3" in problem


def test_a_checkpoint_by_a_revoked_key_is_not_made_and_is_found(vault: Vault) -> None:
    """Those that it signed before its revocation stay good."""
    vault.register(1)
    stolen = FakeSigner("ed25519", vault.checkpoint_keys)
    late = Ledger(vault.port, stolen)
    vault.keys.rotate("checkpoint")
    vault.keys.revoke(fingerprint(stolen.public_keys()[0]), "stolen")
    assert vault.problems() == []
    vault.ledger.commit(lambda _: [_revoking(vault, 4)])
    with pytest.raises(SigningKeyRevoked):
        late.checkpoint()
    head = open_checkpoint(
        vault.ledger.checkpoint().note, vault.checkpoints.public_keys(), vault.checkpoints.verify
    )
    forged = sign_checkpoint(head, stolen)
    vault.port._checkpoints[head.size] = StoredCheckpoint(head.size, forged)
    problems = vault.problems()
    assert [
        problem for problem in problems if problem.startswith(f"checkpoint of size {head.size}: it is by")
    ]


def test_a_checkpoint_by_two_revoked_keys_is_found_by_both(vault: Vault) -> None:
    """Neither key opens the note alone, as a note opens only if all its signatures are known."""
    vault.register(1)
    stolen: list[FakeSigner] = []
    for _ in range(2):
        stolen.append(FakeSigner("ed25519", vault.checkpoint_keys))
        vault.keys.rotate("checkpoint")
    names = [fingerprint(each.public_keys()[0]) for each in stolen]
    for name in names:
        vault.keys.revoke(name, "stolen")
    signed = vault.ledger.checkpoint()
    head = open_checkpoint(signed.note, vault.checkpoints.public_keys(), vault.checkpoints.verify)
    first, second = (sign_checkpoint(head, each) for each in stolen)
    forged = first + second.splitlines(keepends=True)[-1]
    vault.port._checkpoints[head.size] = StoredCheckpoint(head.size, forged)
    found = [problem for problem in vault.problems() if "it is by the key" in problem]
    assert [name in problem for name, problem in zip(names, found, strict=True)] == [True, True]


def test_a_receipt_whose_checkpoint_is_by_a_revoked_key_does_not_verify(vault: Vault) -> None:
    model = vault.register(1)
    stolen = FakeSigner("ed25519", vault.checkpoint_keys)
    good = vault.ledger.receipt(model.index)
    vault.keys.rotate("checkpoint")
    vault.keys.revoke(fingerprint(stolen.public_keys()[0]), "stolen")
    assert vault.audit.receipt(good)[1].verified
    fresh = vault.ledger.receipt(model.index)
    assert vault.audit.receipt(fresh)[1].verified
    head = open_checkpoint(fresh.checkpoint, vault.checkpoints.public_keys(), vault.checkpoints.verify)
    forged = dataclasses.replace(fresh, checkpoint=sign_checkpoint(head, stolen))
    report = vault.audit.receipt(forged)[1]
    assert ["revoked since" in str(problem) for problem in report.problems] == [True]


def test_a_revocation_names_a_known_key_that_is_not_in_use_and_has_a_reason(vault: Vault) -> None:
    vault.register()
    current = fingerprint(vault.artifact_key())
    for named, reason, error, message in (
        (current, "stolen", InvalidInput, "it is the current artifact key.*rotate --role artifact"),
        (current[:7], "stolen", InvalidInput, "at least 8 characters"),
        ("f" * 64, "stolen", NotFound, "see veritas keys list"),
        (current, " ", InvalidInput, "reason"),
    ):
        with pytest.raises(error, match=message):
            vault.keys.revoke(named, reason)
    assert len(vault.events) == 3


def test_revoking_again_changes_nothing(vault: Vault) -> None:
    vault.register()
    old = fingerprint(vault.artifact_key())
    vault.keys.rotate("artifact")
    first = vault.keys.revoke(old, "stolen")
    assert vault.keys.revoke(old, "lost") == first
    assert len(vault.events) == 5


def test_an_old_key_that_the_ledger_does_not_know_is_introduced_to_be_revoked(vault: Vault) -> None:
    """Ledgers that were signed before keys were events have such keys."""
    vault.ledger.commit(lambda _: [refused(1)])
    vault.ledger.checkpoint()
    old = vault.checkpoints.public_keys()[0]
    vault.checkpoints.rotate(lambda _: None)
    revoked = vault.keys.revoke(fingerprint(old), "lost")
    assert (revoked.introduced, revoked.revoked) == (1, 2)
    assert vault.problems() == []


def test_looking_at_keys_asks_no_signer_that_never_signed(vault: Vault) -> None:
    """A local signer would make its key."""

    class Untouched(FakeSigner):
        def public_keys(self) -> tuple[PublicKey, ...]:
            raise AssertionError("nobody may ask")

    signers: dict[Any, Any] = {"artifact": Untouched(), "checkpoint": Untouched()}
    keys = KeyManagement(vault.ledger, signers, clock=StoppedClock(), provenance={})
    assert keys.list() == ()
    vault.ledger.commit(lambda _: [refused(1)])
    vault.ledger.checkpoint()
    signers["checkpoint"] = vault.checkpoints
    assert [key.role for key in keys.list()] == ["checkpoint"]


def test_a_changed_event_about_keys_is_a_problem_and_keeps_the_rest_from_being_signed(vault: Vault) -> None:
    vault.register()
    entry = vault.port._entries[0]
    vault.port._entries[0] = dataclasses.replace(entry, data=entry.data.replace(b"artifact", b"Artifact"))
    vault.port._keys[entry.key] = vault.port._entries[0]
    problems = vault.problems()
    assert any(problem.startswith("ledger entry 0: its bytes") for problem in problems)
    assert any(problem.startswith("signing keys in the ledger: ledger entry 0") for problem in problems)
    with pytest.raises(IntegrityError):
        vault.register(2)


GOLDEN_KEY = PublicKey("veritasvault", "ed25519", bytes(range(32)))
GOLDEN_EVENTS: dict[str, Callable[[], DomainEvent]] = {
    "key-introduced": lambda: KeyIntroducedEvent.of(0, "checkpoint", GOLDEN_KEY, {"actor": "quant"}, AT),
    "key-revoked": lambda: KeyRevokedEvent(
        1, fingerprint(GOLDEN_KEY), "laptop stolen", {"actor": "officer"}, AT
    ),
}


@pytest.mark.parametrize("name", sorted(GOLDEN_EVENTS))
def test_events_about_keys_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", GOLDEN_EVENTS[name]()
    if REWRITE:
        file.write_bytes(event_to_bytes(event))
    assert event_to_bytes(event) == file.read_bytes()
    assert event_from_bytes(file.read_bytes(), name) == event
    assert event.key == {"key-introduced": "keys:0", "key-revoked": "keys:1"}[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "0" * 64}, "it is not that of the key veritasvault"),
        ({"public_key": "AAAA"}, "give the DER"),
        ({"public_key": "é"}, "give the base64"),
        ({"role": "anything"}, "use one of artifact, checkpoint"),
        ({"sequence": -1}, "sequence"),
    ],
)
def test_an_introduction_that_contradicts_itself_is_no_event(change: dict[str, Any], message: str) -> None:
    written: Any = decode(event_to_bytes(GOLDEN_EVENTS["key-introduced"]()), "the event")
    written["event"] |= change
    with pytest.raises(IntegrityError, match=message):
        event_from_bytes(encode(written), "entry 0")


@given(strategies.public_keys)
def test_a_public_key_is_read_back_as_it_was_written(key: PublicKey) -> None:
    assert from_spki(key.name, to_spki(key)) == from_pem(key.name, to_pem(key)) == key


def test_every_flipped_bit_of_a_pem_text_is_another_key_or_none() -> None:
    text = to_pem(GOLDEN_KEY).encode()
    for bit in range(len(text) * 8):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            other = from_pem("x", changed.decode("latin-1"))
        except InvalidInput:
            continue
        assert fingerprint(other) != fingerprint(GOLDEN_KEY)


@pytest.mark.parametrize(
    ("algorithm", "raw"),
    [("rsa", b""), ("ed25519", b"x"), ("ecdsa-p256", bytes(65)), ("ecdsa-p256", b"\x04")],
)
def test_bytes_that_are_no_key_have_no_form(algorithm: str, raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        to_spki(PublicKey("x", algorithm, raw))


def _manifest(vault: Vault, model: RegisteredModel) -> Any:
    return ModelCatalog(vault.repository, vault.ledger).manifest(model.event)


def _unsigned(model: RegisteredModel) -> ModelRegisteredEvent:
    kept = tuple(kept for kept in model.event.attachments if kept.name != "model.sig")
    return dataclasses.replace(model.event, attachments=kept, provenance={"actor": "quant"})


def _revoking(vault: Vault, sequence: int) -> KeyRevokedEvent:
    """Some event that makes the ledger longer: the first key is revoked once more."""
    first = next(iter(vault.keys.list()))
    return KeyRevokedEvent(sequence, first.fingerprint, "again", {}, AT)


def _fail(*_: object) -> None:
    raise Unavailable("the ledger is away")

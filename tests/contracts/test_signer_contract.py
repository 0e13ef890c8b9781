"""What every signer has to do, with either algorithm: the same suite for local keys, Vault and the fake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from domain.registry.errors import Unavailable
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from domain.registry.ports import PublicKey, SignerPort
from domain.registry.signing.public_keys import from_pem, from_spki, to_pem, to_spki
from tests.fakes.signer import FakeSigner
from veritasvault.adapters.local_signer import LocalSigner
from veritasvault.adapters.vault_signer import VaultSigner

ALGORITHMS = ("ecdsa-p256", "ed25519")
MESSAGE = b"what is signed"


def _fake(algorithm: str, directory: Path, request: pytest.FixtureRequest) -> Callable[[], SignerPort]:
    keys: list[bytes] = []
    return lambda: FakeSigner(algorithm, keys)


def _local(algorithm: str, directory: Path, request: pytest.FixtureRequest) -> Callable[[], SignerPort]:
    return lambda: LocalSigner(directory / "keys", algorithm=algorithm)


def _vault(algorithm: str, directory: Path, request: pytest.FixtureRequest) -> Callable[[], SignerPort]:
    server = request.getfixturevalue("vault_server")
    mount = server.new_mount()
    key = server.new_key(mount, algorithm)
    return lambda: VaultSigner(
        server.url, mount, key, algorithm, published=directory / "keys", token=server.token
    )


# A new signer is one line here: from what the fixtures give to a function that opens it anew.
BACKENDS = {"fake": _fake, "local": _local, "vault": _vault}


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(BACKENDS))
def reopen(request: pytest.FixtureRequest, algorithm: str, tmp_path: Path) -> Callable[[], SignerPort]:
    """Opens the one signer of a test again, as another process would."""
    return BACKENDS[request.param](algorithm, tmp_path, request)


@pytest.fixture
def signer(reopen: Callable[[], SignerPort]) -> SignerPort:
    return reopen()


def announced(signer: SignerPort) -> tuple[PublicKey, list[PublicKey]]:
    """Rotate; the new key, and what was announced."""
    seen: list[PublicKey] = []
    return signer.rotate(seen.append), seen


def test_what_the_current_key_signed_verifies_and_nothing_else_does(signer: SignerPort) -> None:
    """Another message, a changed, cut off or empty signature and another key are all refused, not raised."""
    (key, *older), signature = signer.public_keys(), signer.sign(MESSAGE)
    assert older == []
    assert signer.verify(key, MESSAGE, signature)
    assert not signer.verify(key, MESSAGE + b".", signature)
    for changed in (b"", signature[:-1], signature + b"\0", bytes([signature[0] ^ 1]) + signature[1:]):
        assert not signer.verify(key, MESSAGE, changed)
    other = FakeSigner(key.algorithm).public_keys()[0]
    assert not signer.verify(other, MESSAGE, signature)


def test_a_key_that_is_malformed_or_of_no_known_algorithm_verifies_nothing(signer: SignerPort) -> None:
    key, signature = signer.public_keys()[0], signer.sign(MESSAGE)
    for algorithm, raw in (("rsa", key.raw), (key.algorithm, key.raw[:-1]), (key.algorithm, b"")):
        assert not signer.verify(PublicKey(key.name, algorithm, raw), MESSAGE, signature)


def test_the_key_is_of_the_algorithm_and_is_written_as_others_write_it(
    signer: SignerPort, algorithm: str
) -> None:
    """DER and PEM are those of the cryptography package, in both directions."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    key = signer.public_keys()[0]
    assert key.algorithm == algorithm
    loaded = load_pem_public_key(to_pem(key).encode())
    assert loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == to_spki(key)
    assert loaded.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == to_pem(key)
    assert from_spki(key.name, to_spki(key)) == from_pem(key.name, to_pem(key)) == key


def test_every_signer_verifies_both_algorithms(signer: SignerPort) -> None:
    for algorithm in ALGORITHMS:
        other = FakeSigner(algorithm)
        assert signer.verify(other.public_keys()[0], MESSAGE, other.sign(MESSAGE))


def test_another_process_signs_with_the_same_key(reopen: Callable[[], SignerPort]) -> None:
    one, other = reopen(), reopen()
    assert one.public_keys() == other.public_keys()
    assert one.verify(one.public_keys()[0], MESSAGE, other.sign(MESSAGE))


def test_after_a_rotation_a_new_key_signs_and_the_old_signatures_stay_valid(
    reopen: Callable[[], SignerPort],
) -> None:
    signer = reopen()
    old, before = signer.public_keys()[0], signer.sign(MESSAGE)
    new, seen = announced(signer)
    assert seen == [new]
    assert new != old
    for each in (signer, reopen()):
        assert each.public_keys() == (new, old)
        after = each.sign(MESSAGE)
        assert each.verify(new, MESSAGE, after)
        assert not each.verify(old, MESSAGE, after)
        assert each.verify(old, MESSAGE, before)


def test_keys_of_many_rotations_are_all_there_once_with_the_current_one_first(
    reopen: Callable[[], SignerPort],
) -> None:
    signer = reopen()
    keys = [signer.public_keys()[0], *(announced(signer)[0] for _ in range(11))]
    found = reopen().public_keys()
    assert found[0] == keys[-1]
    assert len(found) == len(set(found))
    assert set(found) == set(keys)


def test_the_old_key_signs_while_the_new_one_is_announced(signer: SignerPort) -> None:
    """So the old key can vouch for the new one."""
    old = signer.public_keys()[0]
    signed: list[bytes] = []

    def vouch(new: PublicKey) -> None:
        assert signer.public_keys()[0] == old
        signed.append(signer.sign(new.raw))

    new = signer.rotate(vouch)
    assert signer.verify(old, new.raw, signed[0])


def test_an_announcement_that_fails_is_raised_and_the_object_goes_on_with_the_old_key(
    signer: SignerPort,
) -> None:
    old = signer.public_keys()[0]

    def fail(_: PublicKey) -> None:
        raise Unavailable("the ledger is away")

    with pytest.raises(Unavailable, match="the ledger is away"):
        signer.rotate(fail)
    assert signer.public_keys()[0] == old
    assert signer.verify(old, MESSAGE, signer.sign(MESSAGE))


def test_an_object_signs_with_the_key_it_named_although_another_process_rotated(
    reopen: Callable[[], SignerPort],
) -> None:
    """Or a note would name one key and be signed by another."""
    signer = reopen()
    old = signer.public_keys()[0]
    new, _ = announced(reopen())
    assert signer.public_keys()[0] == old
    assert signer.verify(old, MESSAGE, signer.sign(MESSAGE))
    assert reopen().public_keys()[0] == new


@pytest.mark.parametrize("algorithm", ["ed25519"], indirect=True)
def test_an_ed25519_signer_signs_checkpoints_that_survive_a_rotation(
    reopen: Callable[[], SignerPort],
) -> None:
    head = Checkpoint("veritasvault/ledger/00", 3, bytes(32))
    signer = reopen()
    before = sign_checkpoint(head, signer)
    signer.rotate(lambda _: None)
    for note in (before, sign_checkpoint(head, signer)):
        assert open_checkpoint(note, reopen().public_keys(), reopen().verify) == head

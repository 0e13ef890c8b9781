"""What only local keys do: files that only their owner reads, made once, and put back after a backup."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.ledger.checkpoint import vkey
from domain.registry.signing.public_keys import fingerprint, to_pem
from tests import processes
from veritasvault.adapters.local_signer import PRIVATE_FILES, LocalSigner

ALGORITHMS = sorted(PRIVATE_FILES)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_private_keys_are_their_owner_s_alone_also_after_a_rotation(directory: Path, algorithm: str) -> None:
    signer = LocalSigner(directory, algorithm=algorithm)
    private = directory / PRIVATE_FILES[algorithm]
    signer.sign(b"x")
    first = private.read_bytes()
    assert (private.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o600, 0o700)
    signer.rotate(lambda _: None)
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.read_bytes() != first
    assert [path.name for path in directory.glob("*.tmp")] == []


def test_public_halves_are_published_as_others_read_them(directory: Path) -> None:
    checkpoint = LocalSigner(directory).public_keys()[0]
    artifact = LocalSigner(directory, algorithm="ecdsa-p256").public_keys()[0]
    (published,) = directory.glob("*.vkey")
    assert published.read_text() == f"{vkey(checkpoint)}\n"
    assert (directory / f"{fingerprint(artifact)}.pub").read_text() == to_pem(artifact)


def test_an_ecdsa_signature_is_the_same_each_time_and_in_each_process(directory: Path) -> None:
    """RFC 6979: a registration that is tried again attaches the same bytes."""
    signatures = {LocalSigner(directory, algorithm="ecdsa-p256").sign(b"x") for _ in range(5)}
    signatures.add(processes.in_child(lambda: LocalSigner(directory, algorithm="ecdsa-p256").sign(b"x")))
    assert len(signatures) == 1


def _first_key(directory: Path, algorithm: str) -> bytes:
    return LocalSigner(directory, algorithm=algorithm).public_keys()[0].raw


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_many_processes_that_find_no_key_all_use_the_one_that_is_made(
    directory: Path, algorithm: str
) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        keys = set(pool.starmap(_first_key, [(directory, algorithm)] * 32))
    assert len(keys) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_damaged_key_file_is_named(directory: Path, algorithm: str) -> None:
    LocalSigner(directory, algorithm=algorithm).sign(b"x")
    (public,) = [*directory.glob("*.vkey"), *directory.glob("*.pub")]
    good = public.read_text()
    public.write_text(good.swapcase())
    with pytest.raises(IntegrityError, match=f"{public.name} is not a key: restore it"):
        LocalSigner(directory, algorithm=algorithm).public_keys()
    public.write_text(good)
    private = directory / PRIVATE_FILES[algorithm]
    private.write_text("nonsense")
    with pytest.raises(IntegrityError, match=f"{private.name} is not a key: restore it"):
        LocalSigner(directory, algorithm=algorithm).sign(b"x")


def test_a_published_key_under_another_key_s_name_is_refused(directory: Path) -> None:
    key = LocalSigner(directory, algorithm="ecdsa-p256").public_keys()[0]
    (directory / f"{fingerprint(key)}.pub").rename(directory / f"{'0' * 64}.pub")
    with pytest.raises(IntegrityError, match="is not a key"):
        LocalSigner(directory, algorithm="ecdsa-p256").public_keys()


def test_a_private_key_of_another_kind_is_refused(directory: Path) -> None:
    """A P-384 key, and a P-256 key in the place of the Ed25519 key."""
    directory.mkdir()
    for curve, algorithm in ((ec.SECP384R1(), "ecdsa-p256"), (ec.SECP256R1(), "ed25519")):
        pem = ec.generate_private_key(curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / PRIVATE_FILES[algorithm]).write_bytes(pem)
        with pytest.raises(IntegrityError, match="is not a key"):
            LocalSigner(directory, algorithm=algorithm).sign(b"x")


def test_keys_in_a_read_only_directory_sign_and_none_is_made_or_rotated() -> None:
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root) / "keys"
        key = LocalSigner(directory).public_keys()[0]
        os.chown(directory / PRIVATE_FILES["ed25519"], 65534, 65534)
        for path in (Path(root), directory):
            path.chmod(0o555)

        def as_reader(work: Callable[[], Any]) -> Any:
            return processes.in_child(work, before=processes.without_privileges)

        assert LocalSigner.verify(key, b"x", as_reader(lambda: LocalSigner(directory).sign(b"x")))
        for refused in (
            lambda: LocalSigner(directory).rotate(lambda _: None),
            lambda: LocalSigner(directory, algorithm="ecdsa-p256").sign(b"x"),
        ):
            with pytest.raises(processes.ChildError, match=r"Unavailable: .*Permission denied"):
                as_reader(refused)


def test_a_process_killed_while_it_announces_leaves_the_old_key(directory: Path) -> None:
    old = LocalSigner(directory).public_keys()[0]

    def die(_: object) -> None:
        os.kill(os.getpid(), 9)

    with pytest.raises(processes.ChildKilled):
        processes.in_child(lambda: LocalSigner(directory).rotate(die))
    signer = LocalSigner(directory)
    assert signer.public_keys()[0] == old
    assert signer.rotate(lambda _: None) != old


@pytest.mark.parametrize(("name", "algorithm"), [("two words", "ed25519"), ("a+b", "ed25519"), ("a", "rsa")])
def test_names_that_cannot_stand_in_a_note_and_other_algorithms_are_refused(
    directory: Path, name: str, algorithm: str
) -> None:
    with pytest.raises(InvalidInput):
        LocalSigner(directory, name, algorithm=algorithm)
    assert not directory.exists()

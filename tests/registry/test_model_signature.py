"""Model signatures: the stock command takes ours, ours are what it writes, and no bit of one can change."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import Digest, decode, digest, encode
from domain.registry.errors import InvalidInput, NotVerified
from domain.registry.manifest import Manifest
from domain.registry.signing.model_signature import (
    SIGNATURE_NAME,
    ModelSignature,
    pre_authentication_encoding,
    sign_model,
    statement,
    verify_model,
)
from domain.registry.signing.public_keys import fingerprint, from_pem, to_pem
from domain.registry.staging import stage
from tests.exactly_once.candidates import lineage, metadata
from tests.fakes.signer import FakeSigner
from tests.registry import strategies
from tests.registry.test_checkpoint import GOLDEN, REWRITE

STOCK = Path(sys.executable).parent / "model_signing"
FILES = {"model.txt": b"weights\n", "model/deep.txt": b"deep\n", "a-b.txt": b"", "a/b.txt": "ü\n".encode()}
SECRET = bytes(31) + b"\x07"


@pytest.fixture
def signer() -> FakeSigner:
    return FakeSigner("ecdsa-p256", [SECRET])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An artifact of several files, whose names sort otherwise by parts than by characters."""
    root = tmp_path / "artifact"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.txt"
    path.write_text("weights\n")
    return path


def manifest_of(artifact: Path) -> Manifest:
    with stage(artifact, artifact.parent / "staging") as staged:
        return Manifest(metadata(), lineage(1), staged.artifact)


def stock(model: Path, bundle: bytes, signer: FakeSigner) -> subprocess.CompletedProcess[str]:
    """Run `model_signing verify key`, as an auditor would."""
    signature, key = model.parent / "model.sig", model.parent / "key.pub"
    signature.write_bytes(bundle)
    key.write_text(to_pem(signer.public_keys()[0]))
    command = [STOCK, "verify", "key", model, "--signature", signature, "--public_key", key]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_the_stock_command_accepts_a_signature_and_refuses_a_changed_file(
    kind: str, request: pytest.FixtureRequest, signer: FakeSigner
) -> None:
    artifact: Path = request.getfixturevalue(kind)
    manifest = manifest_of(artifact)
    bundle = sign_model(manifest, signer, as_file=kind == "file").to_bytes()
    good = stock(artifact, bundle, signer)
    assert (good.returncode, good.stdout.strip()) == (0, "Verification succeeded"), good
    changed = artifact if kind == "file" else artifact / "model" / "deep.txt"
    changed.write_bytes(b"W" + changed.read_bytes()[1:])
    bad = stock(artifact, bundle, signer)
    assert bad.returncode != 0
    assert "Hash mismatch" in bad.stdout + bad.stderr


def test_the_stock_command_refuses_an_added_a_missing_and_a_renamed_file(
    directory: Path, signer: FakeSigner
) -> None:
    bundle = sign_model(manifest_of(directory), signer).to_bytes()
    extra, moved = directory / "extra.txt", directory / "moved.txt"
    extra.write_text("more")
    assert "Extra files" in stock(directory, bundle, signer).stderr
    extra.unlink()
    (directory / "model.txt").rename(moved)
    assert "Missing files" in stock(directory, bundle, signer).stderr


def test_the_stock_command_refuses_another_key(directory: Path, signer: FakeSigner) -> None:
    bundle = sign_model(manifest_of(directory), signer).to_bytes()
    assert "Key mismatch" in stock(directory, bundle, FakeSigner()).stderr


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_bundle_has_what_the_stock_library_writes(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, signer: FakeSigner
) -> None:
    """Same key, same files: only the subject's name and the paths that it would have ignored differ."""
    from model_signing import signing

    artifact: Path = request.getfixturevalue(kind)
    manifest = manifest_of(artifact)
    ours = json.loads(sign_model(manifest, signer, as_file=kind == "file").to_bytes())
    private = tmp_path / "key.pem"
    key = ec.derive_private_key(int.from_bytes(SECRET), ec.SECP256R1())
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    config = signing.Config().use_elliptic_key_signer(private_key=private)
    config.sign(artifact, tmp_path / "stock.sig")
    theirs = json.loads((tmp_path / "stock.sig").read_text())
    one, other = _payload(ours), _payload(theirs)
    assert other["subject"][0].pop("name") == artifact.name
    assert one["subject"][0].pop("name") == manifest.model_id
    assert all(path.startswith(".git") for path in other["predicate"]["serialization"].pop("ignore_paths"))
    assert one == other
    for bundle in (ours, theirs):
        bundle["dsseEnvelope"]["payload"] = bundle["dsseEnvelope"]["signatures"][0]["sig"] = "…"
    assert ours == theirs


def test_the_bundle_has_the_golden_bytes(signer: FakeSigner) -> None:
    """A signature of today verifies forever; REWRITE_GOLDEN=1 rewrites it on purpose."""
    names = ("model-manifest.json", "model.sig", "model-file.sig", "artifact-key.pub")
    stored, directory, file, key = (GOLDEN / name for name in names)
    if REWRITE:
        several = (ArtifactFile("a/b.txt", 3, digest(b"abc")), ArtifactFile("a-b.txt", 0, digest(b"")))
        stored.write_bytes(Manifest(metadata(), lineage(1), Artifact(several)).to_bytes())
    manifest = Manifest.from_bytes(stored.read_bytes())
    single = dataclasses.replace(manifest, artifact=Artifact(manifest.artifact.files[:1]))
    if REWRITE:
        directory.write_bytes(sign_model(manifest, signer).to_bytes())
        file.write_bytes(sign_model(single, signer, as_file=True).to_bytes())
        key.write_text(to_pem(signer.public_keys()[0]))
    public = from_pem("golden", key.read_text())
    for place, signed, as_file in ((directory, manifest, False), (file, single, True)):
        assert sign_model(signed, signer, as_file=as_file).to_bytes() == place.read_bytes()
        verify_model(ModelSignature.from_bytes(place.read_bytes()), signed, public, signer.verify)


def test_every_flipped_bit_of_a_bundle_is_found(signer: FakeSigner) -> None:
    """By the reader, by the statement or by the signature: none is left over."""
    manifest = Manifest(metadata(), None, Artifact((ArtifactFile("a.txt", 1, digest(b"a")),)))
    key, bundle = signer.public_keys()[0], sign_model(manifest, signer).to_bytes()
    for bit in range(len(bundle) * 8):
        changed = bytearray(bundle)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotVerified):
            verify_model(ModelSignature.from_bytes(bytes(changed)), manifest, key, signer.verify)


def test_every_removed_or_doubled_byte_of_a_bundle_is_found(signer: FakeSigner) -> None:
    manifest = Manifest(metadata(), None, Artifact((ArtifactFile("a.txt", 1, digest(b"a")),)))
    key, bundle = signer.public_keys()[0], sign_model(manifest, signer).to_bytes()
    for place in range(len(bundle)):
        for changed in (bundle[:place] + bundle[place + 1 :], bundle[: place + 1] + bundle[place:]):
            with pytest.raises(NotVerified):
                verify_model(ModelSignature.from_bytes(changed), manifest, key, signer.verify)


@settings(max_examples=50)
@given(one=strategies.manifests, other=strategies.manifests)
def test_a_signature_fits_the_manifest_that_was_signed_and_no_other(one: Manifest, other: Manifest) -> None:
    """Also none with the same files, because the model id is the subject of the statement."""
    signer = FakeSigner("ecdsa-p256", [SECRET])
    key, signature = signer.public_keys()[0], sign_model(one, signer)
    assert ModelSignature.from_bytes(signature.to_bytes()) == signature
    verify_model(signature, one, key, signer.verify)
    for wrong in (other, dataclasses.replace(one, metadata=other.metadata)):
        if wrong != one:
            with pytest.raises(NotVerified, match="other files than the manifest"):
                verify_model(signature, wrong, key, signer.verify)


def test_the_same_manifest_is_signed_with_the_same_bytes(signer: FakeSigner) -> None:
    """So a registration that is tried again attaches what the first try attached."""
    manifest = Manifest(metadata(), None, Artifact((ArtifactFile("a.txt", 1, digest(b"a")),)))
    assert sign_model(manifest, signer) == sign_model(manifest, FakeSigner("ecdsa-p256", [SECRET]))


def test_a_good_signature_over_a_wrong_statement_is_refused(signer: FakeSigner) -> None:
    """Whoever has the key can sign anything; what counts is what this manifest's statement says."""
    manifest = Manifest(metadata(), None, Artifact((ArtifactFile("a.txt", 1, digest(b"a")),)))
    key = signer.public_keys()[0]
    payload = statement(manifest).replace(b"sha256", b"sha512", 1)
    forged = ModelSignature(fingerprint(key), payload, signer.sign(pre_authentication_encoding(payload)))
    with pytest.raises(NotVerified, match="other files than the manifest"):
        verify_model(forged, manifest, key, signer.verify)


def test_a_signature_by_another_key_is_refused_also_under_the_first_key_s_name(signer: FakeSigner) -> None:
    manifest = Manifest(metadata(), None, Artifact((ArtifactFile("a.txt", 1, digest(b"a")),)))
    key, other = signer.public_keys()[0], FakeSigner()
    with pytest.raises(NotVerified, match="it is by the key"):
        verify_model(sign_model(manifest, other), manifest, key, signer.verify)
    posing = dataclasses.replace(sign_model(manifest, other), key=fingerprint(key))
    with pytest.raises(NotVerified, match="does not hold"):
        verify_model(posing, manifest, key, signer.verify)


def test_keys_that_the_format_does_not_take_and_several_files_as_one_are_refused() -> None:
    files = tuple(ArtifactFile(name, 1, digest(b"a")) for name in ("a.txt", "b.txt"))
    manifest = Manifest(metadata(), None, Artifact(files))
    with pytest.raises(InvalidInput, match="sign models with an ecdsa-p256 key"):
        sign_model(manifest, FakeSigner("ed25519"))
    with pytest.raises(InvalidInput, match="sign several files as a directory"):
        sign_model(manifest, FakeSigner(), as_file=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle.v0.2+json"}, "other bytes"),
        ({"more": 1}, "bundle.more"),
        ({"dsseEnvelope": []}, "envelope is"),
        ({"dsseEnvelope": {"payload": "", "payloadType": "x", "signatures": []}}, "signatures is 0"),
        ({"verificationMaterial": {"publicKey": {"hint": "ab"}, "tlogEntries": []}}, "hint is 'ab'"),
    ],
)
def test_a_bundle_with_a_wrong_field_says_which(
    change: dict[str, Any], message: str, signer: FakeSigner
) -> None:
    signature = ModelSignature(Digest("0" * 64), b"{}", b"x")
    bundle: Any = decode(signature.to_bytes(), "the bundle")
    with pytest.raises(NotVerified, match=rf"{SIGNATURE_NAME} is not a model signature.*{message}"):
        ModelSignature.from_bytes(encode({**bundle, **change}))


def _payload(bundle: Any) -> Any:
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))

"""`veritas.load`: what a service gets, what is verified on the way, and what is left when things are away."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import veritas
from domain.registry.errors import (
    IntegrityError,
    InvalidInput,
    NotFound,
    NotPermitted,
    NotVerified,
    Unavailable,
)
from domain.registry.events import KeyRole
from domain.registry.ledger.merkle import leaf_hash
from domain.registry.ledger.receipt import verify_receipt
from domain.registry.signing.key_ring import KeyRing
from domain.registry.signing.public_keys import fingerprint
from tests.adapters.artifacts import onnx_model, safetensors
from tests.serving.shop import COLUMNS, ROWS, Shop, predictor
from veritasvault.adapters.local_signer import LocalSigner
from veritasvault.serving.copy_check import PROOF


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def flip(path: Path) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_version_predicts_and_says_what_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line of Python that the documentation shows."""
    shop.register(1)
    monkeypatch.setenv("VERITAS_HOME", str(shop.home))
    model = veritas.load("volatility@1", cache=shop.cache)
    np.testing.assert_allclose(model.predict(ROWS), predictor(1).predict(ROWS), rtol=1e-12)
    assert (model.name, model.version, model.confirmed) == ("volatility", 1, True)
    assert model.metadata.owner == "quant-research"
    assert {file.name for file in model.path.iterdir()} == {"model.onnx", "signature.json"}
    keys = shop.application().checkpoint_signer.public_keys()
    proven = verify_receipt(model.receipt, keys, LocalSigner.verify)
    assert (proven.index, proven.event) == (model.index, model.event)
    assert veritas.load(model.model_id, cache=shop.cache).version == 1


def test_the_home_keeps_copies_where_no_cache_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.register(1)
    monkeypatch.setenv("VERITAS_HOME", str(shop.home))
    assert veritas.load("volatility@1").path.is_relative_to(shop.home / "cache")


def test_columns_of_frames_are_taken_by_name(shop: Shop) -> None:
    """In whatever order they are and whatever else there is, by pandas, polars or as arrays by name."""
    shop.register(1)
    model = shop.load("volatility@1")
    expected = model.predict(ROWS)
    mixed = {"leverage": ROWS[:, 2], "other": ["x", "y"], "rv_5": ROWS[:, 1], "rv_1": ROWS[:, 0]}
    for frame in (pd.DataFrame(mixed), pl.DataFrame(mixed), mixed, ROWS.tolist()):
        np.testing.assert_array_equal(model.predict(frame), expected)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (ROWS[:, :2], r"data is \(2, 2\): give \(rows, 3\): rv_1, rv_5, leverage"),
        (ROWS[0], r"data is \(3,\): give \(rows, 3\)"),
        (pd.DataFrame({"rv_1": [0.1], "rv_5": [0.2]}), "give the model's columns too: leverage"),
        (pd.DataFrame({name: ["x"] for name in COLUMNS}), "the model does not take it"),
    ],
)
def test_data_that_does_not_fit_is_one_sentence(shop: Shop, data: object, sentence: str) -> None:
    shop.register(1)
    with pytest.raises(InvalidInput, match=sentence):
        shop.load("volatility@1").predict(data)


def test_external_tensors_are_run_from_what_was_verified(shop: Shop, tmp_path: Path) -> None:
    """ONNX Runtime never opens a file: the tensors beside the model are given to it as they were hashed."""
    files = onnx_model(tmp_path, save_as_external_data=True, location="weights.data", size_threshold=0)
    assert set(files) == {"model.onnx", "weights.data"}
    model = shop.load(shop.register(1, files))
    answer = model.predict(np.ones((1, 2048)))
    assert answer.shape == (1, 1)
    assert answer[0, 0] == pytest.approx(sum(range(2048)), rel=1e-5)


def test_other_formats_give_their_path_and_say_what_loads_them(shop: Shop) -> None:
    reference = shop.register(1, {"model.safetensors": safetensors(), "config.json": b"{}"})
    model = shop.load(reference)
    assert (model.path / "model.safetensors").read_bytes() == safetensors()
    with pytest.raises(InvalidInput, match=r"volatility@1': it is not one ONNX file, .* safetensors"):
        model.predict(ROWS)


def test_aliases_are_what_the_ledger_says_now(shop: Shop) -> None:
    """`refresh` gives the same object until the champion is another."""
    for number in (1, 2):
        shop.register(number)
    assert shop.load("volatility@latest").version == 2
    with pytest.raises(NotFound, match="volatility has no champion now"):
        shop.load("volatility@champion")
    shop.promote(1)
    champion = shop.load("volatility@champion")
    assert champion.version == 1
    assert champion.refresh() is champion
    shop.promote(2, incumbent=1)
    assert champion.refresh().version == 2
    assert champion.predict(ROWS).shape == (2,)


def test_what_nobody_signed_yet_does_not_count(shop: Shop) -> None:
    """A promotion is followed once a checkpoint covers it."""
    shop.register(1)
    shop.promote(1, signed=False)
    with pytest.raises(NotFound, match="1 ledger entries are not signed yet"):
        shop.load("volatility@champion")
    shop.application().ledger.checkpoint()
    assert shop.load("volatility@champion").version == 1


@pytest.mark.parametrize(
    ("reference", "error", "sentence"),
    [
        ("volatility", InvalidInput, "NAME@VERSION"),
        ("volatility@9", NotFound, "has no version 9"),
        ("unknown@1", NotFound, "is not registered"),
        ("0" * 64, NotFound, "is not registered"),
    ],
)
def test_an_unknown_reference_is_one_sentence(
    shop: Shop, reference: str, error: type[Exception], sentence: str
) -> None:
    shop.register(1)
    with pytest.raises(error, match=sentence):
        shop.load(reference)
    assert shop.copies() == []


def test_a_warm_load_asks_no_registry(shop: Shop) -> None:
    shop.register(1)
    expected = shop.load("volatility@1").predict(ROWS)
    shop.lose_registry()
    np.testing.assert_array_equal(shop.load("volatility@latest").predict(ROWS), expected)


def test_an_explicit_version_needs_no_ledger_once_it_is_cached(shop: Shop) -> None:
    """Its proof says all that the ledger would; an alias is what the ledger says, so it needs the ledger."""
    shop.register(1)
    shop.promote(1)
    expected = shop.load("volatility@1").predict(ROWS)
    shop.lose_registry()
    shop.lose_ledger()
    model_id = shop.load("volatility@1").model_id
    for reference in ("volatility@1", model_id):
        model = shop.load(reference)
        np.testing.assert_array_equal(model.predict(ROWS), expected)
        assert not model.confirmed
    with pytest.raises(Unavailable, match="load a version by its number"):
        shop.load("volatility@champion")
    for reference in ("volatility@2", "0" * 64):
        with pytest.raises(Unavailable, match="is not in the cache"):
            shop.load(reference)
    assert not (shop.home / "ledger.db").exists()


def test_a_service_needs_public_keys_and_no_others(shop: Shop) -> None:
    """Without the private keys it works, and makes none; without the public ones nothing is believed."""
    shop.register(1)
    for private in (shop.home / "keys").glob("*.pem"):
        private.unlink()
    shop.load("volatility@1")
    assert list((shop.home / "keys").glob("*.pem")) == []
    for public in (shop.home / "keys").glob("*.vkey"):
        public.unlink()
    with pytest.raises(NotVerified, match=r"copy the \.vkey files"):
        shop.load("volatility@1")


def test_a_copy_that_a_stranger_vouches_for_is_refused_and_stays(shop: Shop, tmp_path: Path) -> None:
    """A cache filled by another registry is consistent, and that is not enough."""
    stranger = Shop(tmp_path / "stranger")
    stranger.register(1)
    stranger.load("volatility@1")
    shutil.copytree(stranger.cache, shop.cache)
    shop.register(2)
    shop.lose_ledger()
    with pytest.raises(NotVerified, match=r"is vouched for by the key .*, which is none of this home's"):
        shop.load("volatility@1")
    assert len(shop.copies()) == 1


@pytest.mark.parametrize("part", ["artifact/model.onnx", "artifact/signature.json", PROOF])
def test_a_flipped_bit_in_the_cache_is_noticed_and_the_copy_replaced(shop: Shop, part: str) -> None:
    shop.register(1)
    expected = shop.load("volatility@1").predict(ROWS)
    (damaged,) = shop.copies()
    (damaged / part).chmod(0o644)
    flip(damaged / part)
    np.testing.assert_array_equal(shop.load("volatility@1").predict(ROWS), expected)
    (copy,) = shop.copies()
    assert copy != damaged
    flip(copy / part)
    shop.lose_registry()
    with pytest.raises((NotFound, Unavailable)):
        shop.load("volatility@1")


@pytest.mark.parametrize("change", ["extra", "missing", "link"])
def test_a_copy_with_other_files_is_replaced(shop: Shop, change: str, tmp_path: Path) -> None:
    shop.register(1)
    shop.load("volatility@1").close()
    (damaged,) = shop.copies()
    file = damaged / "artifact" / "model.onnx"
    if change == "extra":
        (damaged / "artifact" / "sitecustomize.py").write_text("")
    else:
        file.rename(tmp_path / "elsewhere.onnx")
    if change == "link":
        file.symlink_to(tmp_path / "elsewhere.onnx")
    assert shop.load("volatility@1").path.parent != damaged


def test_a_copy_that_somebody_has_open_is_not_taken_from_them(shop: Shop) -> None:
    """A damaged one goes on to be there for who opened it, and is given to nobody else."""
    shop.register(1)
    first = shop.load("volatility@1")
    flip(first.path / "model.onnx")
    second = shop.load("volatility@1")
    assert second.path != first.path
    assert first.path.is_dir()
    np.testing.assert_array_equal(first.predict(ROWS), second.predict(ROWS))
    assert shop.load("volatility@1").path == second.path


def test_a_change_after_the_check_is_not_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run are the bytes that were hashed, not what lies at their place a moment later."""
    import onnxruntime

    shop.register(1)
    real = onnxruntime.InferenceSession

    def swapped(model: object, *arguments: object, **named: object) -> object:
        (copy,) = shop.copies()
        (copy / "artifact" / "model.onnx").chmod(0o644)
        (copy / "artifact" / "model.onnx").write_bytes(predictor(9).to_onnx())
        return real(model, *arguments, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", swapped)
    model = shop.load("volatility@1")
    np.testing.assert_allclose(model.predict(ROWS), predictor(1).predict(ROWS), rtol=1e-12)


def test_damage_in_the_registry_is_found_before_anything_is_opened(shop: Shop) -> None:
    shop.register(1)
    (file,) = (shop.home / "registry" / "models").glob("*/artifact/model.onnx")
    file.chmod(0o644)
    flip(file)
    with pytest.raises(IntegrityError, match=r"artifact/model.onnx was changed"):
        shop.load("volatility@1")
    assert shop.copies() == []


def test_a_changed_ledger_is_refused_also_for_what_is_cached(shop: Shop) -> None:
    """A ledger that can be asked and lies is no reason to go on without it."""
    shop.register(1)
    shop.load("volatility@1")
    with sqlite3.connect(shop.home / "ledger.db") as connection:
        connection.execute("UPDATE checkpoints SET note = replace(note, 'veritas', 'fakitas')")
    with pytest.raises(IntegrityError, match="checkpoint"):
        shop.load("volatility@1")


def test_a_row_that_names_another_model_is_refused(shop: Shop) -> None:
    """The table of versions is only an index: the signed entry has to say the same."""
    for number in (1, 2):
        shop.register(number)
    with sqlite3.connect(shop.home / "ledger.db") as connection:
        connection.execute(
            "UPDATE versions SET model_id = (SELECT model_id FROM versions WHERE version = 2) "
            "WHERE version = 1"
        )
    with pytest.raises(IntegrityError, match="it is not what the entry says"):
        shop.load("volatility@1")


def test_a_rewritten_promotion_is_refused(shop: Shop) -> None:
    """An entry that hashes to what is stored beside it, and not to what was signed, makes no champion."""
    for number in (1, 2):
        shop.register(number)
    shop.promote(1)
    # A full tree, in which no proof of a registration has to do with the promotion's leaf.
    for number in (3, 4, 5):
        shop.register(number)
    assert shop.load("volatility@champion").version == 1
    rewrite(shop, lambda data: data.replace(b'"version":1', b'"version":2'))
    for reference in ("volatility@champion", "volatility@1"):
        with pytest.raises(IntegrityError, match="cannot be proved"):
            shop.load(reference)


def rewrite(shop: Shop, change: Callable[[bytes], bytes], kind: str = "ModelPromoted") -> None:
    """Change a kind's first event as who may write to the ledger's tables would, leaf hash included."""
    with sqlite3.connect(shop.home / "ledger.db") as connection:
        first = "SELECT idx, data FROM entries WHERE instr(CAST(data AS TEXT), ?) ORDER BY idx"
        index, data = connection.execute(first, (kind,)).fetchone()
        changed = change(data)
        assert changed != data
        connection.execute(
            "UPDATE entries SET data = ?, leaf_hash = ? WHERE idx = ?", (changed, leaf_hash(changed), index)
        )


def test_a_retired_version_is_not_loaded_any_more(shop: Shop) -> None:
    """Neither with the ledger nor, once that was seen, without it."""
    shop.register(1)
    shop.load("volatility@1")
    shop.retire(1)
    with pytest.raises(NotPermitted, match=r"volatility@1 is retired since ledger entry \d+"):
        shop.load("volatility@1")
    shop.lose_ledger()
    with pytest.raises(Unavailable, match="is not in the cache"):
        shop.load("volatility@1")


@pytest.mark.parametrize("by", ["version", "model_id"])
def test_refresh_refuses_a_version_that_was_retired_also_by_its_number(shop: Shop, by: str) -> None:
    """It opens nothing: neither registry nor cache are there any more."""
    shop.register(1)
    loaded = shop.load("volatility@1")
    model = loaded if by == "version" else shop.load(loaded.model_id)
    shop.lose_registry()
    shutil.rmtree(shop.cache)
    assert model.refresh() is model
    shop.retire(1)
    with pytest.raises(NotPermitted, match=r"volatility@1 is retired since ledger entry \d+"):
        model.refresh()
    assert model.predict(ROWS).shape == (2,)


def test_refresh_without_a_ledger_keeps_a_version_that_was_confirmed(tmp_path: Path) -> None:
    """An alias is what the ledger says, and what was loaded without it was never confirmed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shop = Shop(tmp_path, {"VERITAS_LEDGER": f"sqlite:///{disk / 'ledger.db'}"})
    shop.register(1)
    shop.promote(1)
    version, champion = shop.load("volatility@1"), shop.load("volatility@champion")
    disk.rename(tmp_path / "unmounted")
    assert version.refresh() is version
    for model in (champion, shop.load("volatility@1")):
        with pytest.raises(Unavailable):
            model.refresh()


def test_an_unsigned_version_is_not_loaded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As older registries hold them, from before models were signed."""
    from domain.registry import registration

    monkeypatch.setattr(registration.ModelRegistration, "_signed", _unsigned)
    shop.register(1)
    with pytest.raises(NotVerified, match="volatility@1 is not signed"):
        shop.load("volatility@1")
    assert shop.copies() == []


def test_a_version_by_a_key_that_was_revoked_before_is_not_loaded(shop: Shop) -> None:
    """Somebody who kept the old key, and writes to registry and ledger with it, gets nothing loaded."""
    shop.register(1)
    kept = (shop.home / "keys" / "artifact-key.pem").read_bytes()
    retire_key(shop, "artifact")
    assert shop.load("volatility@1").version == 1, "what it signed before stays valid"
    (shop.home / "keys" / "artifact-key.pem").write_bytes(kept)
    forge(shop)
    with pytest.raises(IntegrityError, match=r"volatility@2 cannot be proved, signature.* revoked"):
        shop.load("volatility@2")


def test_a_checkpoint_by_a_key_that_was_revoked_before_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who kept the old key, and writes to the ledger with it, makes no champion."""
    for number in (1, 2):
        shop.register(number)
        shop.load(f"volatility@{number}")
    shop.promote(1)
    kept = (shop.home / "keys" / "signing-key.pem").read_bytes()
    stolen = retire_key(shop, "checkpoint")
    champion = shop.load("volatility@champion")
    assert champion.version == 1, "what it signed before stays valid"
    (shop.home / "keys" / "signing-key.pem").write_bytes(kept)
    monkeypatch.setattr(KeyRing, "require_usable", lambda *_: None)
    shop.promote(2, incumbent=1)
    sentence = rf"checkpoint of size \d+: it is by the key {stolen}, revoked since ledger entry \d+"
    for reference in ("volatility@champion", "volatility@1"):
        with pytest.raises(IntegrityError, match=sentence):
            shop.load(reference)
    with pytest.raises(IntegrityError, match=sentence):
        champion.refresh()


def test_a_rewritten_revocation_is_refused(shop: Shop) -> None:
    """A revocation that names another key than what was signed would let the revoked one sign again."""
    shop.register(1)
    stolen = retire_key(shop, "checkpoint")
    # A full tree, in which no proof of the registration has to do with the revocation's leaf.
    for number in (2, 3, 4, 5):
        shop.register(number)
    assert shop.load("volatility@5").version == 5
    rewrite(shop, lambda data: data.replace(stolen.encode(), b"0" * len(stolen)), kind="KeyRevoked")
    with pytest.raises(IntegrityError, match="cannot be proved"):
        shop.load("volatility@5")


def retire_key(shop: Shop, role: KeyRole) -> str:
    """Put another key in its place and revoke it; returns its fingerprint."""
    application = shop.application()
    signer = application.artifact_signer if role == "artifact" else application.checkpoint_signer
    old = fingerprint(signer.public_keys()[0])
    application.keys.rotate(role)
    application.keys.revoke(old, "stolen")
    return old


def forge(shop: Shop) -> None:
    """Register with whatever key there is, as a program without our checks would."""
    from domain.registry.signing import key_ring

    real = key_ring.KeyRing.require_usable
    key_ring.KeyRing.require_usable = lambda *_: None  # type: ignore[method-assign]
    try:
        shop.register(2)
    finally:
        key_ring.KeyRing.require_usable = real  # type: ignore[method-assign]


def _unsigned(_: object, submission: object, *, as_file: bool) -> tuple[object, object]:
    from domain.registry.evidence import Attachment

    return submission, Attachment("metrics.json", "application/json", b"{}")


def test_importing_costs_next_to_nothing(tmp_path: Path) -> None:
    """Neither arrays nor databases nor cryptography; services import it at their top."""
    probe = "import json, sys, veritas; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "veritas" in loaded
    heavy = {"numpy", "onnxruntime", "onnx", "sqlalchemy", "cryptography", "rfc8785", "click", "polars"}
    assert not heavy & loaded

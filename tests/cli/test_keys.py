"""`veritas keys`, and what others make of our signatures: with local keys, and with keys in a real Vault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput
from domain.registry.ledger.checkpoint import parse_vkey
from tests.cli.console import Console, vendor_model
from tests.servers.openbao import VaultServer
from veritasvault.setting_values import TransitAddress
from veritasvault.settings import Settings

STOCK = Path(sys.executable).parent / "model_signing"
REGISTER = ("register", "--metadata", "model.json", "--artifact", "model")


@pytest.fixture
def vault(tmp_path: Path, vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A command on an empty home whose keys are in Vault, and a model to register."""
    mount = vault_server.new_mount()
    names = {
        role: vault_server.new_key(mount, algorithm)
        for role, algorithm in (("checkpoint", "ed25519"), ("artifact", "ecdsa-p256"))
    }
    address = vault_server.url.removeprefix("http://")
    signer = f"vault+http://{address}/{mount}?checkpoint={names['checkpoint']}&artifact={names['artifact']}"
    monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
    vendor_model(tmp_path)
    settings = {"VERITAS_SIGNER": signer, "VAULT_TOKEN": vault_server.token}
    return Console(tmp_path / "home", tmp_path, settings)


def keys_of(console: Console) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = console.run("keys", "list", "--json").document["keys"]
    return found


def stock(console: Console, reference: str, model: Path) -> subprocess.CompletedProcess[str]:
    """Verify a model as an auditor would, with what the registry hands out and the stock command."""
    shown = console.run("models", "show", reference, "--json").document
    (kept,) = [kept for kept in shown["attachments"] if kept["name"] == "model.sig"]
    place = console.home / "registry" / "models" / shown["model_id"] / "attachments" / kept["sha256"]
    pems = {each["fingerprint"]: each["pem"] for each in keys_of(console)}
    key = console.directory / "key.pem"
    key.write_text(pems[shown["provenance"]["signing_key"]])
    command = [STOCK, "verify", "key", model, "--signature", place, "--public_key", key]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("where", ["console", "vault"])
def test_the_stock_command_verifies_what_was_registered_also_after_a_rotation(
    where: str, request: pytest.FixtureRequest
) -> None:
    """A directory as it is retrieved; a changed file is refused."""
    console: Console = request.getfixturevalue(where)
    console.run(*REGISTER)
    console.run("keys", "rotate")
    console.run("models", "retrieve", "vendor_vol@1", "copy")
    copy = console.directory / "copy"
    good = stock(console, "vendor_vol@1", copy)
    assert (good.returncode, good.stdout.strip()) == (0, "Verification succeeded"), good
    (copy / "config.json").write_text("{}")
    assert "Hash mismatch for 'config.json'" in stock(console, "vendor_vol@1", copy).stderr


def test_the_stock_command_verifies_a_model_that_is_one_file(empty: Console) -> None:
    """As a file, whatever it is called by now."""
    metadata, artifact = vendor_model(empty.directory)
    empty.run("register", "--metadata", metadata, "--artifact", artifact / "config.json")
    assert stock(empty, "vendor_vol@1", artifact / "config.json").returncode == 0
    assert stock(empty, "vendor_vol@1", artifact / "table.csv").returncode != 0
    empty.run("models", "retrieve", "vendor_vol@1", "copy")
    assert stock(empty, "vendor_vol@1", empty.directory / "copy" / "config.json").returncode == 0


def test_keys_are_listed_with_what_they_sign_and_since_when(console: Console) -> None:
    artifact, checkpoint = keys_of(console)
    assert (artifact["role"], artifact["algorithm"], artifact["introduced"]) == ("artifact", "ecdsa-p256", 0)
    assert (checkpoint["role"], checkpoint["algorithm"], checkpoint["introduced"]) == (
        "checkpoint", "ed25519", 1
    )  # fmt: skip
    assert parse_vkey(checkpoint["vkey"]).algorithm == "ed25519"
    assert checkpoint["vkey"] in console.run("ledger", "checkpoint", "--json").document["keys"]
    assert artifact["vkey"] is None
    assert all(key["current"] and key["revoked"] is None for key in (artifact, checkpoint))
    text = console.run("keys", "list").out.splitlines()
    assert text[1].split() == [
        artifact["fingerprint"][:16],
        "artifacts",
        "ecdsa-p256",
        "current",
        "0",
        "-",
        "-",
    ]


def test_looking_at_keys_where_nothing_is_makes_nothing(empty: Console) -> None:
    assert empty.run("keys", "list", "--json").document == {"keys": []}
    assert not empty.home.exists()


@pytest.mark.parametrize("where", ["console", "vault"])
def test_a_rotated_key_can_be_revoked_and_everything_still_verifies(
    where: str, request: pytest.FixtureRequest
) -> None:
    console: Console = request.getfixturevalue(where)
    console.run(*REGISTER)
    old = {key["role"]: key["fingerprint"] for key in keys_of(console)}
    new = console.run("keys", "rotate", "--json").document["keys"]
    assert [key["role"] for key in new] == ["artifact", "checkpoint"]
    for fingerprint in old.values():
        revoked = console.run(
            "keys", "revoke", fingerprint[:16], "--reason", "laptop stolen", "--json"
        ).document
        assert [(key["fingerprint"], key["reason"]) for key in revoked["keys"]] == [
            (fingerprint, "laptop stolen")
        ]
    (console.directory / "model" / "config.json").write_text('{"alpha": 3}\n')
    console.run(*REGISTER)
    assert "not signed" not in console.run("verify", "--all").out
    shown = console.run("ledger", "show").out
    assert "KeyRevoked" in shown
    assert old["artifact"][:16] in shown
    states = [line.split()[3] for line in console.run("keys", "list").out.splitlines()[1:]]
    assert states == ["revoked", "revoked", "current", "current"]
    keys = {check["name"]: check for check in console.run("doctor", "--json").document["checks"]}["keys"]
    assert keys["status"] == "ok"
    assert new[0]["fingerprint"] in keys["detail"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("revoke", "0" * 64, "--reason", "x"), 1, "no key has the fingerprint 0000"),
        (("revoke", "abc", "--reason", "x"), 2, "give at least 8 characters"),
        (("revoke", "0" * 64), 2, "Missing option '--reason'"),
        (("revoke", "CURRENT", "--reason", "x"), 2, "it is the current artifact key"),
        (("rotate", "--role", "everything"), 2, "'everything' is not one of 'artifact', 'checkpoint'"),
    ],
)
def test_a_bad_argument_changes_nothing_and_is_answered_by_one_sentence(
    console: Console, arguments: tuple[str, ...], code: int, message: str
) -> None:
    current = keys_of(console)[0]["fingerprint"]
    given = [current if argument == "CURRENT" else argument for argument in arguments]
    assert message in console.run("keys", *given, code=code).sentence
    assert console.run("ledger", "show", "--json").document["size"] == 5


def test_a_changed_signature_is_named(console: Console) -> None:
    shown = console.run("models", "show", "vendor_vol@1", "--json").document
    kept = next(kept for kept in shown["attachments"] if kept["name"] == "model.sig")
    place = console.home / "registry" / "models" / shown["model_id"] / "attachments" / kept["sha256"]
    content = place.read_bytes()
    place.unlink()
    place.write_bytes(content.replace(b'"keyid":""', b'"keyid":"x"'))
    (problem,) = console.run("verify", "vendor_vol@1", "--json", code=1).document["problems"]
    assert problem["object"].startswith("attachment model.sig of vendor_vol@1")


def test_nothing_shows_the_token_and_no_private_key_leaves_vault(
    vault: Console, vault_server: VaultServer
) -> None:
    """Neither output nor anything in the home has the token in it, also when Vault refuses it."""
    vault.run(*REGISTER)
    said = [
        vault.run(*command, code=None) for command in (("doctor",), ("keys", "list"), ("verify", "--all"))
    ]
    wrong = Console(vault.home, vault.directory, {**vault.settings, "VAULT_TOKEN": "hvs.planted-secret"})
    refused = wrong.run("keys", "rotate", "--json", code=2)
    assert "VAULT_TOKEN is 'not shown'" in refused.sentence
    said += [refused, wrong.run("doctor", code=1)]
    written = [path.read_bytes() for path in vault.home.rglob("*") if path.is_file()]
    for text in [*(f"{answer.out}{answer.err}".encode() for answer in said), *written]:
        assert vault_server.token.encode() not in text
        assert b"planted-secret" not in text
        assert b"PRIVATE KEY" not in text
    assert sorted(path.suffix for path in (vault.home / "keys").iterdir()) == [".pub", ".vkey"]


def test_the_doctor_names_a_vault_that_is_away(vault: Console) -> None:
    closed_port = 1  # nobody listens on port 1, tcpmux
    signer = f"vault+http://127.0.0.1:{closed_port}/transit?checkpoint=a&artifact=b"
    away = Console(vault.home, vault.directory, {**vault.settings, "VERITAS_SIGNER": signer})
    checks = {check["name"]: check for check in away.run("doctor", "--json", code=1).document["checks"]}
    assert checks["keys"]["status"] == "fail"
    assert "cannot be reached" in checks["keys"]["detail"]


def test_what_local_keys_signed_stays_valid_when_vault_takes_their_place(
    console: Console, vault: Console
) -> None:
    """The keys of the home stay, and the ledger goes on under Vault's."""
    moved = Console(console.home, console.directory, vault.settings)
    moved.run("verify", "--all")
    (console.directory / "model" / "config.json").write_text('{"alpha": 4}\n')
    moved.run(*REGISTER)
    moved.run("verify", "--all")
    assert [key["current"] for key in keys_of(moved)] == [False, False, True, True]


@pytest.mark.parametrize(
    "value",
    [
        "vault",
        "vault://h/transit",
        "vault://h?checkpoint=a&artifact=b",
        "vault://h/transit?checkpoint=a",
        "vault://h/transit?checkpoint=a&artifact=b&token=c",
        "vault://h/transit?checkpoint=a&checkpoint=b&artifact=c",
        "vault://u:hunter2@h/transit?checkpoint=a&artifact=b",
        "https://h/transit?checkpoint=a&artifact=b",
    ],
)
def test_a_signer_that_is_no_address_is_refused_without_showing_a_password(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"VERITAS_SIGNER is .*: give local or vault:") as caught:
        Settings.read({"VERITAS_SIGNER": value})
    assert "hunter2" not in str(caught.value)


def test_a_vault_address_is_read() -> None:
    read = Settings.read({"VERITAS_SIGNER": "vault://h:8200/a/b?checkpoint=c&artifact=d"})
    assert read.transit == TransitAddress("https://h:8200", "a/b", "c", "d")
    assert Settings.read({}).transit is None

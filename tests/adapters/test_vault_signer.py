"""What only Vault does: its tokens, its policies, its old versions, and what it says when it refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.signing.public_keys import fingerprint, to_pem
from tests import processes
from tests.servers.openbao import VaultServer
from veritasvault.adapters.local_signer import LocalSigner
from veritasvault.adapters.vault_signer import VaultSigner

MESSAGE = b"what is signed"


@pytest.fixture
def mount(vault_server: VaultServer) -> str:
    return vault_server.new_mount()


@pytest.fixture
def key(vault_server: VaultServer, mount: str) -> str:
    return vault_server.new_key(mount, "ecdsa-p256")


class _Something(BaseHTTPRequestHandler):
    """Answers everything with JSON that is not Vault's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"data": []}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def plain_http_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Something) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def signer(vault_server: VaultServer, mount: str, key: str, tmp_path: Path) -> Callable[..., VaultSigner]:
    """Opens the signer of a test, with some of its arguments changed."""

    def opened(**changes: object) -> VaultSigner:
        arguments = {
            "url": vault_server.url,
            "mount": mount,
            "key": key,
            "algorithm": "ecdsa-p256",
            "published": tmp_path / "keys",
            "token": vault_server.token,
        }
        return VaultSigner(**{**arguments, **changes})  # type: ignore[arg-type]

    return opened


def test_the_token_is_found_in_the_environment(
    signer: Callable[..., VaultSigner], vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
    assert signer(token=None).sign(MESSAGE)


def test_without_a_token_the_sentence_says_where_to_put_one(
    signer: Callable[..., VaultSigner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="VAULT_TOKEN is None: set it"):
        signer(token=None).sign(MESSAGE)


def test_a_wrong_token_is_refused_and_not_shown(signer: Callable[..., VaultSigner]) -> None:
    with pytest.raises(InvalidInput, match="VAULT_TOKEN is 'not shown': Vault refuses it") as caught:
        signer(token="secret-of-nobody").sign(MESSAGE)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "secret-of-nobody" not in f"{chain!r} {chain}"
        chain = chain.__cause__


def test_a_token_that_may_only_sign_signs_and_does_not_rotate(
    signer: Callable[..., VaultSigner], vault_server: VaultServer, mount: str, key: str
) -> None:
    """The policy that docs/configuration.md asks for is enough."""
    client = vault_server.client()
    rules = {
        f"{mount}/keys/{key}": ["read"],
        f"{mount}/sign/{key}": ["update"],
        f"{mount}/sign/{key}/sha2-256": ["update"],
    }
    policy = "\n".join(f'path "{path}" {{ capabilities = ["{verbs[0]}"] }}' for path, verbs in rules.items())
    client.sys.create_or_update_policy(name=f"signer-{key}", policy=policy)
    token = client.auth.token.create(policies=[f"signer-{key}"])["auth"]["client_token"]
    limited = signer(token=token)
    assert limited.verify(limited.public_keys()[0], MESSAGE, limited.sign(MESSAGE))
    with pytest.raises(InvalidInput, match="Vault refuses it for rotating the key"):
        limited.rotate(lambda _: None)


@pytest.mark.parametrize("missing", ["key", "mount"])
def test_a_missing_key_or_engine_is_named_with_the_command_that_makes_it(
    signer: Callable[..., VaultSigner], missing: str
) -> None:
    """Nothing is made by using it: a mistyped name would be a new key."""
    for _ in range(2):
        with pytest.raises(InvalidInput, match=r"vault write -f .* type=ecdsa-p256"):
            signer(**{missing: "nothing"}).sign(MESSAGE)


def test_a_key_of_another_algorithm_is_refused(
    signer: Callable[..., VaultSigner], vault_server: VaultServer, mount: str
) -> None:
    for algorithm in ("ed25519", "aes256-gcm96", "ecdsa-p384"):
        with pytest.raises(InvalidInput, match="no plain ecdsa-p256 key"):
            signer(key=vault_server.new_key(mount, algorithm)).sign(MESSAGE)


def test_a_server_that_is_away_or_no_vault_is_unavailable(signer: Callable[..., VaultSigner]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(Unavailable, match=rf"reading the key with {address}/.*cannot be reached"):
            signer(url=address).sign(MESSAGE)


def test_a_server_that_answers_something_else_is_unavailable(
    signer: Callable[..., VaultSigner], plain_http_server: str
) -> None:
    with pytest.raises(Unavailable, match="check VERITAS_SIGNER"):
        signer(url=plain_http_server).sign(MESSAGE)


def test_what_vault_trimmed_is_still_known_from_its_published_key(
    signer: Callable[..., VaultSigner], vault_server: VaultServer, mount: str, key: str, tmp_path: Path
) -> None:
    first = signer()
    old, signature = first.public_keys()[0], first.sign(MESSAGE)
    first.rotate(lambda _: None)
    transit = vault_server.client().secrets.transit
    for oldest in ({"min_decryption_version": 2}, {"min_encryption_version": 2}):
        transit.update_key_configuration(key, mount_point=mount, **oldest)
    transit.trim_key(key, min_version=2, mount_point=mount)
    again = signer()
    assert old in again.public_keys()
    assert again.verify(old, MESSAGE, signature)
    assert old not in signer(published=tmp_path / "elsewhere").public_keys()
    assert (tmp_path / "keys" / f"{fingerprint(old)}.pub").read_text() == to_pem(old)


def test_signatures_of_local_keys_stay_valid_when_vault_takes_their_place(
    signer: Callable[..., VaultSigner], tmp_path: Path
) -> None:
    local = LocalSigner(tmp_path / "keys", algorithm="ecdsa-p256")
    old = local.public_keys()[0]
    assert signer().public_keys()[0] != old
    assert old in signer().public_keys()


def test_reading_keys_writes_nothing(signer: Callable[..., VaultSigner], tmp_path: Path) -> None:
    signer().public_keys()
    assert not (tmp_path / "keys").exists()


def test_a_forked_process_has_its_own_connection(signer: Callable[..., VaultSigner]) -> None:
    """Two processes on one connection would read each other's answers."""
    parent = signer()
    parent.sign(MESSAGE)
    client = parent._client

    def child() -> bool:
        good = parent.verify(parent.public_keys()[0], MESSAGE, parent.sign(MESSAGE))
        return good and parent._client is not client

    assert processes.in_child(child)
    assert parent._client is client

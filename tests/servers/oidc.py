"""A small OpenID Connect provider for tests: discovery, keys, and tokens that it or somebody else signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

_MAKERS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass
class Provider:
    """A provider at `url`; its keys, by name, and what it was asked for.

    Attributes:
        authority: PEM file of the certificate that vouches for it; None without TLS.
        answers: what it says instead of the documents, by path: a status and a body, or a place to go to.
    """

    url: str
    authority: Path | None = None
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def new_key(self, algorithm: str = "ES256") -> str:
        """The name of a new signing key."""
        name = uuid.uuid4().hex
        self.keys[name] = (algorithm, _MAKERS[algorithm]())
        return name

    def token(
        self,
        subject: str = "8f3e",
        key: str | None = None,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token signed with a key, by default the newest; a claim that is None is left out."""
        name = key or list(self.keys)[-1]
        algorithm, secret = self.keys[name]
        now = int(time.time())
        content = {"iss": self.url, "aud": "veritas", "sub": subject, "iat": now, "exp": now + 300, **claims}
        content = {claim: value for claim, value in content.items() if value is not None}
        named = {"kid": name, **(headers or {})}
        return jwt.encode(content, secret, algorithm, {k: v for k, v in named.items() if v is not None})

    def documents(self) -> dict[str, Any]:
        """What it publishes, by path."""
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [_public(name, *key) for name, key in self.keys.items()]},
        }


def _public(name: str, algorithm: str, key: Any) -> dict[str, Any]:
    found = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": name, "use": "sig", "alg": algorithm}


@contextmanager
def provider(directory: Path | None = None) -> Iterator[Provider]:
    """A running provider on a free port of loopback; with TLS, whose files are in `directory`, or without."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.requests.append(self.path)
            status, body = running.answers.get(self.path, (200, ""))
            if not body and self.path not in running.documents():
                status = 404
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", body)
            content = (body or json.dumps(running.documents().get(self.path, {}))).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme, authority = "http", None
    if directory is not None:
        authority, chain = _certificate(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    running = Provider(f"{scheme}://127.0.0.1:{server.server_address[1]}", authority)
    running.new_key()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, for 127.0.0.1: its PEM file, and one with the key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, chain = directory / "authority.pem", directory / "server.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(public.read_bytes() + private)
    return public, chain


@pytest.fixture
def oidc() -> Iterator[Provider]:
    """A provider without TLS, which only loopback may be."""
    with provider() as running:
        yield running

"""A token server for an OCI registry in tests, as Docker Hub, GHCR and Harbor have one.

Tokens are what the distribution project's "Token Authentication Implementation" asks for: JSON web tokens,
signed with a key whose certificate the registry knows.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.servers.oci import OciServer, docker_registry

_USER, _PASSWORD = "quant", "planted-secret"
_SERVICE, _ISSUER = "registry", "tests"


@dataclass
class TokenServer:
    """Gives tokens to one user, and to everybody those that only read.

    Attributes:
        asked: the scopes of all requests, in order.
        lifetime: seconds that a token is good for.
    """

    asked: list[str] = field(default_factory=list)
    lifetime: int = 300
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _ISSUER)])
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def token(self, scope: str, actions: set[str]) -> str:
        """A token for the allowed ones of the actions that a scope, `repository:NAME:ACTION,…`, asks for."""
        kind, name, wanted = scope.split(":")
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {
            "iss": _ISSUER, "aud": _SERVICE, "sub": "", "jti": uuid.uuid4().hex,
            "iat": now, "nbf": now - 60, "exp": now + self.lifetime,
            "access": [{"type": kind, "name": name, "actions": sorted(actions & set(wanted.split(",")))}],
        }  # fmt: skip
        signed = f"{_encoded(header)}.{_encoded(claims)}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True)
class TokenRegistry:
    """A registry, and the server whose tokens it takes."""

    registry: OciServer
    tokens: TokenServer
    user: str = _USER
    password: str = _PASSWORD


@pytest.fixture
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    """A registry of the test's own that sends everybody to a token server."""
    directory = tmp_path_factory.mktemp("oci")
    tokens = TokenServer()
    with _serving(tokens) as realm:
        bundle = directory / "certificate.pem"
        bundle.write_bytes(tokens.certificate.public_bytes(serialization.Encoding.PEM))
        auth = {
            "token": {
                "realm": realm, "service": _SERVICE, "issuer": _ISSUER, "rootcertbundle": str(bundle),
            }
        }  # fmt: skip
        with docker_registry(directory, auth=auth) as registry:
            yield TokenRegistry(registry, tokens)


@contextlib.contextmanager
def _serving(tokens: TokenServer) -> Iterator[str]:
    login = "Basic " + base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            (scope,) = parse_qs(urlsplit(self.path).query).get("scope", ["registry:catalog:*"])
            tokens.asked.append(scope)
            if given not in (None, login):
                self.send_error(401)
                return
            body = json.dumps(
                {"token": tokens.token(scope, {"pull", "push"} if given else {"pull"})}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

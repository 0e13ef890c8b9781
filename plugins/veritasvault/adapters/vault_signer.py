"""Signing keys in the Transit engine of HashiCorp Vault or OpenBao, which they never leave.

API: https://openbao.org/api-docs/secret/transit/. The token is found where Vault's own command finds it, in
VAULT_TOKEN or ~/.vault-token, and so are the certificates of a private authority (VAULT_CACERT).
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from domain.registry.base64_text import decode64
from domain.registry.errors import DomainException, InvalidInput, Unavailable
from domain.registry.ports import PublicKey
from domain.registry.signing.public_keys import from_spki
from veritasvault.adapters.published_keys import PublishedKeys
from veritasvault.adapters.signature_check import verify_signature

_PATIENCE = 10
"""Seconds that Vault may take for an answer."""


@dataclass(frozen=True, slots=True)
class _Version:
    """One of the keys that a Transit key had since it was made."""

    number: int
    key: PublicKey


class VaultSigner:
    """A `SignerPort` over a named key of a Transit engine, of type ed25519 or ecdsa-p256.

    The key is made by whoever runs Vault, because a token that may sign need not be able to make keys:
    `vault write transit/keys/NAME type=ecdsa-p256`. Rotating it needs `update` on `keys/NAME/rotate`.

    The public half of a key that signs is also written to the directory of published keys, so that signatures
    verify without Vault, and go on verifying after it trimmed old versions or another signer took its place.

    Vault's ECDSA signatures are not deterministic: signing again gives other bytes, which verify as well.
    """

    def __init__(
        self,
        url: str,
        mount: str,
        key: str,
        algorithm: str,
        *,
        published: Path,
        name: str = "veritasvault",
        token: str | None = None,
    ) -> None:
        """Nothing is asked of Vault yet.

        Args:
            key: the Transit key's name.
            published: directory of the public halves.
            name: stands in each note beside the signature.
            token: None takes it from the environment.
        """
        self._url = url
        self._mount = mount
        self._key = key
        self._algorithm = algorithm
        self._name = name
        self._token = token
        self._published = PublishedKeys(published, name, algorithm)
        self._current: _Version | None = None
        self._client: Any = None
        self._process = -1

    verify = staticmethod(verify_signature)

    def sign(self, message: bytes) -> bytes:
        """Sign with the version that was the newest when this object first asked.

        Raises:
            InvalidInput: Vault refuses the token, or has no such key.
            Unavailable: Vault cannot be reached or is sealed.
        """
        current = self._pinned()
        with self._translated("signing"):
            answer = self._transit().sign_data(
                self._key,
                hash_input=b64encode(message).decode("ascii"),
                key_version=current.number,
                hash_algorithm=None if self._algorithm == "ed25519" else "sha2-256",
                marshaling_algorithm=None if self._algorithm == "ed25519" else "asn1",
                mount_point=self._mount,
            )
            # "vault:v3:BASE64"; some installations have another word than "vault".
            _, version, encoded = answer["data"]["signature"].split(":")
            signature = decode64(encoded)
            if version != f"v{current.number}" or signature is None:
                raise ValueError(f"it signed with {version} instead of v{current.number}")
        self._published.add(current.key)
        return signature

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The pinned key first, then Vault's other versions, then published ones that Vault does not have.

        Raises:
            InvalidInput: Vault refuses the token, or has no such key of this algorithm.
            Unavailable: Vault cannot be reached or is sealed.
        """
        current = self._pinned().key
        listed = [version.key for version in self._versions()] + list(self._published.all())
        return tuple(dict.fromkeys([current, *listed]))

    def rotate(self, announce: Callable[[PublicKey], None]) -> PublicKey:
        """Make a new version. Vault signs with it for others at once, also if `announce` then fails.

        Raises:
            InvalidInput: Vault refuses the token, or has no such key.
            Unavailable: Vault cannot be reached or is sealed.
        """
        self._pinned()
        with self._translated("rotating the key"):
            self._transit().rotate_key(self._key, mount_point=self._mount)
        new = self._versions()[-1]
        announce(new.key)
        self._current = new
        return new.key

    def _pinned(self) -> _Version:
        """The version that this object signs with."""
        if self._current is None:
            self._current = self._versions()[-1]
        return self._current

    def _versions(self) -> list[_Version]:
        """All versions that Vault still has, oldest first."""
        with self._translated("reading the key"):
            data = self._transit().read_key(self._key, mount_point=self._mount)["data"]
            if data["type"] != self._algorithm or data.get("derived"):
                raise InvalidInput(
                    "VERITAS_SIGNER", self._key, f"this key of Vault's is no plain {self._algorithm} key"
                )
            found = sorted((int(number), each) for number, each in data["keys"].items())
            return [_Version(number, self._public(each)) for number, each in found]

    def _public(self, version: Mapping[str, Any]) -> PublicKey:
        text = version["public_key"]
        if self._algorithm == "ed25519":
            return PublicKey(self._name, self._algorithm, decode64(text) or b"")
        der = load_pem_public_key(text.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return from_spki(self._name, der)

    def _transit(self) -> Any:
        # A forked child would otherwise share its parent's sockets.
        if self._process != os.getpid():
            import hvac

            self._client = hvac.Client(self._url, token=self._token, timeout=_PATIENCE)
            self._process = os.getpid()
        if not self._client.token:
            raise InvalidInput("VAULT_TOKEN", None, f"set it to a token that may sign with {self}")
        return self._client.secrets.transit

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Let nothing of hvac's or requests' out; no message has the token in it.

        Raises:
            InvalidInput: Vault refuses the token, or has no such key.
            Unavailable: Vault cannot be reached, is sealed, or answers what its API does not say.
        """
        from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, Unauthorized, VaultError
        from requests.exceptions import RequestException

        try:
            yield
        except DomainException:
            raise
        except (Forbidden, Unauthorized) as error:
            remedy = f"Vault refuses it for {doing} with {self}, correct the token or its policies"
            raise InvalidInput("VAULT_TOKEN", "not shown", remedy) from error
        except (InvalidPath, InvalidRequest) as error:
            remedy = f"there is no such engine or key, make it: {self._command()}"
            raise InvalidInput("VERITAS_SIGNER", str(self), remedy) from error
        except VaultError as error:
            raise Unavailable(
                f"{doing} with {self} failed, Vault answers {type(error).__name__}: unseal or mend it"
            ) from error
        except RequestException as error:
            raise Unavailable(
                f"{doing} with {self} failed, it cannot be reached ({type(error).__name__}): start it or "
                "mend VERITAS_SIGNER"
            ) from error
        except (KeyError, ValueError, TypeError) as error:
            raise Unavailable(
                f"{doing} with {self} failed, that is no answer of a Transit engine: check VERITAS_SIGNER"
            ) from error

    def _command(self) -> str:
        return f"vault write -f {self._mount}/keys/{self._key} type={self._algorithm}"

    def __str__(self) -> str:
        return f"{self._url}/v1/{self._mount}/keys/{self._key}"

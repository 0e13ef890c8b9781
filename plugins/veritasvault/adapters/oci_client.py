"""Speaks to a repository of an OCI registry by the distribution API, and says in a sentence what failed.

The protocol is the OCI distribution specification 1.1 (spec.md); signing in follows the "Docker Registry v2
authentication via central service" of the distribution project, besides plain basic authentication.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from domain.registry.canonical import Digest, digest
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, Unavailable
from domain.registry.ports import StillOurs
from veritasvault.adapters.oci_credentials import find_credentials
from veritasvault.adapters.oci_manifest import IMAGE_MANIFEST

MIB = 1 << 20
_CHUNK = MIB
_TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
_TIMEOUT_DELETING = (5.0, 20.0)
"""With signing in and asking again it stays below the half of `LEASE` that a request to delete may take."""
_RETRIES = 4
_ATTEMPTS = 6
_DISTURBED = ("DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN")
"""What docker-registry says of blobs whose links another request writes at this moment."""
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass
class OciRepository:
    """A repository `name` on the registry at `host` (with port, if it is not the scheme's own).

    Attributes:
        insecure: speak HTTP, without TLS.
        chunk_size: bytes of a blob that are sent at once, and held in memory.
    """

    host: str
    name: str
    insecure: bool = False
    chunk_size: int = 16 * MIB
    _session: Any = field(default=None, init=False, repr=False)
    _process: int = field(default=-1, init=False, repr=False)
    _authorization: str | None = field(default=None, init=False, repr=False)
    _known: bool = field(default=False, init=False, repr=False)

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}"

    def require(self) -> None:
        """Raise InvalidInput unless a registry answers at the host; asked once in each process."""
        self._session_of_this_process()
        if self._known:
            return
        with self._answer("opening the registry", "GET", "/v2/") as answer:
            if answer.status_code != 200:
                raise self._refusal(answer, "opening the registry")
        self._known = True

    def has_blob(self, sha256: Digest) -> bool:
        return self._has(f"blobs/sha256:{sha256}", f"looking for blob {sha256}")

    def has_manifest(self, tag: str) -> bool:
        return self._has(f"manifests/{tag}", f"looking for {tag}")

    def read_blob(self, sha256: Digest) -> Iterator[bytes] | None:
        """A blob in chunks, as the registry sends it, unverified; None if it is not there."""
        doing = f"reading blob {sha256}"
        chunks = self._chunks(doing, f"blobs/sha256:{sha256}")
        return chunks if next(chunks) == b"there" else None

    def read_manifest(self, tag: str) -> bytes | None:
        """The image manifest behind a tag; None if there is none.

        Raises:
            IntegrityError: its bytes differ from the digest that the registry files them under.
        """
        doing = f"reading the image manifest {tag}"
        with self._answer(doing, "GET", self._path(f"manifests/{tag}"), headers=_ACCEPT) as answer:
            if answer.status_code == 404:
                self.require()  # not everything that answers 404 is a registry
                return None
            if answer.status_code != 200:
                raise self._refusal(answer, doing)
            data = bytes(answer.content)
            filed = answer.headers.get("Docker-Content-Digest", "")
        if filed.startswith("sha256:") and filed != f"sha256:{digest(data)}":
            raise IntegrityError(f"the image manifest {tag} in {self} was changed, restore it from a backup")
        return data

    def tags(self) -> Iterator[str]:
        """Every tag, page by page; none if the repository has not come into being yet."""
        place: str | None = self._path("tags/list?n=1000")
        while place:
            with self._answer("listing", "GET", place) as answer:
                if answer.status_code == 404 and _code(answer) == "NAME_UNKNOWN":
                    return
                if answer.status_code != 200:
                    raise self._refusal(answer, "listing")
                try:
                    names = answer.json().get("tags") or []
                except (ValueError, AttributeError) as error:
                    raise Unavailable(f"listing {self} failed, no registry answers there") from error
                place = answer.links.get("next", {}).get("url")
            yield from names

    def put_manifest(self, tag: str, data: bytes) -> None:
        """Give a tag its image manifest, whose blobs have to be there; a tag that is taken is moved."""
        doing = f"storing the image manifest {tag}"
        place, headers = self._path(f"manifests/{tag}"), {"Content-Type": IMAGE_MANIFEST}
        for attempt in range(_ATTEMPTS):
            with self._answer(doing, "PUT", place, headers=headers, data=data) as answer:
                if answer.status_code == 201:
                    return
                refusal = self._refusal(answer, doing)
                if answer.status_code < 500 and _code(answer) not in _DISTURBED:
                    break
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - spreads writers, hides nothing
        raise refusal

    def delete_manifest(self, tag: str, still_ours: StillOurs) -> None:
        """Delete the image manifest behind a tag with all tags that name it; nothing if there is none.

        Its blobs stay until the registry collects them.

        Args:
            still_ours: is asked between looking for the manifest and deleting it.

        Raises:
            InvalidInput: the registry does not let anybody delete.
        """
        data = self.read_manifest(tag)
        if data is None:
            return
        doing = f"deleting the image manifest {tag}"
        place = self._path(f"manifests/sha256:{digest(data)}")
        still_ours()
        with self._answer(doing, "DELETE", place, timeout=_TIMEOUT_DELETING) as answer:
            if answer.status_code == 405:
                raise InvalidInput(
                    "registry",
                    self.host,
                    "it deletes nothing, set REGISTRY_STORAGE_DELETE_ENABLED=true there",
                )
            # 404: another run of gc was faster.
            if answer.status_code not in (200, 202, 204, 404):
                raise self._refusal(answer, doing)

    def push_blob(self, content: IO[bytes], sha256: Digest, name: str) -> None:
        """Send a blob in chunks; `name` says in errors what it is.

        Raises:
            IntegrityError: the content has another SHA-256.
        """
        doing = f"storing {name}"
        with self._answer(doing, "POST", self._path("blobs/uploads/")) as answer:
            if answer.status_code != 202:
                raise self._refusal(answer, doing)
            place = self._location(answer, doing)
            size = max(self.chunk_size, int(answer.headers.get("OCI-Chunk-Min-Length") or 0))
        try:
            chunk, following, sent = content.read(size), content.read(size), 0
            found = hashlib.sha256(chunk)
            while following:
                found.update(following)
                place = self._send(doing, place, chunk, sent)
                sent += len(chunk)
                chunk, following = following, content.read(size)
            # Not left to the server, which keeps an upload that it refused.
            if found.hexdigest() != sha256:
                raise IntegrityError(f"the staged copy of {name} was changed while it was sent")
            self._finish(doing, place, chunk, sha256)
        except BaseException:
            with contextlib.suppress(Exception), self._answer(doing, "DELETE", place):
                pass
            raise

    def _send(self, doing: str, place: str, chunk: bytes, sent: int) -> str:
        """Send a chunk that is not the last, after so many bytes; where the upload goes on."""
        headers = {**_BYTES, "Content-Range": f"{sent}-{sent + len(chunk) - 1}"}
        with self._answer(doing, "PATCH", place, headers=headers, data=chunk) as answer:
            if answer.status_code != 202:
                raise self._refusal(answer, doing)
            return self._location(answer, doing)

    def _finish(self, doing: str, place: str, chunk: bytes, sha256: Digest) -> None:
        """Send the last chunk, and the digest of all."""
        url = f"{place}{'&' if urlsplit(place).query else '?'}digest=sha256:{sha256}"
        with self._answer(doing, "PUT", url, headers=_BYTES, data=chunk) as answer:
            if answer.status_code != 201:
                raise self._refusal(answer, doing)

    def _chunks(self, doing: str, place: str) -> Iterator[bytes]:
        """First whether the object is there, then its chunks."""
        with self._answer(doing, "GET", self._path(place), stream=True) as answer:
            if answer.status_code == 404:
                self.require()
                yield b""
                return
            if answer.status_code != 200:
                raise self._refusal(answer, doing)
            yield b"there"
            yield from answer.iter_content(_CHUNK)

    def _has(self, place: str, doing: str) -> bool:
        with self._answer(doing, "HEAD", self._path(place), headers=_ACCEPT) as answer:
            if answer.status_code == 404:
                self.require()
                return False
            if answer.status_code != 200:
                raise self._refusal(answer, doing)
            return True

    def _path(self, rest: str) -> str:
        return f"/v2/{self.name}/{rest}"

    def _location(self, answer: Any, doing: str) -> str:
        place = answer.headers.get("Location")
        if not place:
            raise Unavailable(f"{doing} in {self} failed, no OCI registry answers there: correct the host")
        return urljoin(str(answer.url), str(place))

    # Requests

    @contextmanager
    def _answer(self, doing: str, method: str, place: str, **options: Any) -> Iterator[Any]:
        """Send a request, signing in when the registry asks for it, and close the answer after the block."""
        with self._translated(doing):
            session = self._session_of_this_process()
            url = urljoin(self._base, place)
            options = {"timeout": _TIMEOUT, **options}
            answer = session.request(method, url, **options)
            if answer.status_code == 401 and self._sign_in(answer, doing):
                answer.close()
                answer = session.request(method, url, **options)
            with closing(answer):
                yield answer

    @property
    def _base(self) -> str:
        return f"{'http' if self.insecure else 'https'}://{self.host}"

    def _session_of_this_process(self) -> Any:
        # A forked child would otherwise share its parent's sockets.
        if self._process != os.getpid():
            import requests
            from requests.adapters import HTTPAdapter
            from urllib3.util import Retry

            self._session = requests.Session()
            # Writing is not repeated blindly: the caller settles it by looking. 500 is what docker-registry
            # answers to who reads a link while another request writes it.
            retry = Retry(
                _RETRIES,
                backoff_factor=0.1,
                status_forcelist=(429, 500, 502, 503, 504),
                allowed_methods=("GET", "HEAD"),
                raise_on_status=False,
            )
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=retry))
            self._session.headers["Accept-Encoding"] = "identity"
            self._session.auth = self._authorized
            self._process, self._authorization, self._known = os.getpid(), None, False
        return self._session

    def _authorized(self, request: Any) -> Any:
        # An upload's or a blob's place may be on another host, which must not see the credentials.
        if self._authorization and urlsplit(request.url).netloc == self.host:
            request.headers["Authorization"] = self._authorization
        return request

    def _sign_in(self, answer: Any, doing: str) -> bool:
        """Answer the registry's challenge; False if there is nothing, or nothing new, to answer with."""
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        asked = dict(_CHALLENGE.findall(rest))
        credentials = find_credentials(self.host)
        if scheme.lower() == "basic":
            if credentials is None:
                return False
            import requests.auth

            # The library's own encoding; non-ASCII passwords go as UTF-8.
            user, password = credentials.user.encode(), credentials.password.encode()
            before, self._authorization = (
                self._authorization,
                requests.auth._basic_auth_str(user, password),
            )
            return before != self._authorization
        if scheme.lower() == "bearer":
            return self._fetch_token(asked, credentials, doing)
        return False

    def _fetch_token(self, asked: dict[str, str], credentials: Any, doing: str) -> bool:
        """Get a token from the server that the challenge names, anonymously without credentials."""
        realm = asked.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self.insecure:
            raise InvalidInput(
                "registry", self.host, "it sends passwords to a server without TLS, correct it"
            )
        auth = (credentials.user, credentials.password) if credentials else _nobody
        asking = {name: asked[name] for name in ("service", "scope") if name in asked}
        with closing(self._session.get(realm, params=asking, auth=auth, timeout=_TIMEOUT)) as answer:
            if answer.status_code != 200:
                return False
            try:
                document = answer.json()
                token = document.get("token") or document["access_token"]
            except (ValueError, KeyError, AttributeError) as error:
                raise Unavailable(f"{doing} in {self} failed, {realm} gave no token") from error
        self._authorization = f"Bearer {token}"
        return True

    # Errors

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Let nothing of requests or urllib3 out; `doing` says what failed."""
        from requests import exceptions

        try:
            yield
        except DomainException:
            raise
        except exceptions.SSLError as error:
            raise Unavailable(
                f"{doing} in {self} failed, there is no TLS or no trusted certificate: mend that, or add "
                f"?insecure=1 ({_reason(error)})"
            ) from error
        except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError) as error:
            raise Unavailable(
                f"{doing} in {self} failed, the registry cannot be reached: check host and port "
                f"({_reason(error)})"
            ) from error
        except exceptions.RequestException as error:
            raise InvalidInput("registry", str(self), f"correct host and repository ({error})") from error

    def _refusal(self, answer: Any, doing: str) -> DomainException:
        """What an unexpected answer means."""
        status, code = answer.status_code, _code(answer)
        if status in (401, 403):
            return InvalidInput(
                "registry credentials",
                code or status,
                f"{self} refused {doing}, log in with docker login {self.host} or grant the account access",
            )
        if code in ("NAME_UNKNOWN", "NAME_INVALID"):
            return InvalidInput(
                "repository", self.name, f"{self.host} has none such, create it or correct it"
            )
        if status == 404 and not code:
            return InvalidInput(
                "registry", self.host, "no OCI registry answers there, correct host or repository"
            )
        return Unavailable(
            f"{doing} in {self} failed, the registry answered {status} {code or 'without a reason'}: "
            "run it again later"
        )


_ACCEPT = {"Accept": IMAGE_MANIFEST}
_BYTES = {"Content-Type": "application/octet-stream"}


def _nobody(request: Any) -> Any:
    return request


def _code(answer: Any) -> str:
    """The first error code of an answer, as the specification writes errors; empty without one."""
    try:
        return str(answer.json()["errors"][0]["code"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


def _reason(error: BaseException) -> str:
    """What was at the bottom of a chain of errors, without the URL that the upper ones quote."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or type(error).__name__

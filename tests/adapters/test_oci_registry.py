"""The OCI registry on a real server: chunks, races, refusals, moved tags, what the server adopts."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.registry.artifact import Artifact, ArtifactFile, StagedArtifact
from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import Manifest, ModelId
from tests.adapters.artifacts import staged
from tests.exactly_once.candidates import lineage, metadata
from tests.processes import in_child
from tests.servers.oci import OciServer
from tests.servers.oci_tokens import TokenRegistry
from veritasvault.adapters.oci_manifest import attachment_package, model_package
from veritasvault.adapters.oci_registry import OciModelRegistry

CHUNK = 1 << 16
LARGE = {"model.bin": os.urandom(2 * CHUNK + 12345), "about.txt": b"About."}
SMALL = {"model.bin": b"weights" * 1000, "notes/about.txt": b"About."}
REPOSITORY = "risk/models"
GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "oci"
Login = Callable[[str, str, str], None]


def model(root: Path, files: dict[str, bytes] = SMALL) -> tuple[ModelId, StagedArtifact, bytes]:
    artifact = staged(root, files)
    manifest = Manifest(metadata(), lineage(0), artifact.artifact)
    return manifest.model_id, artifact, manifest.to_bytes()


def adapter(server: OciServer, repository: str = REPOSITORY) -> OciModelRegistry:
    return OciModelRegistry(server.host, repository, insecure=True, chunk_size=CHUNK)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Method and body size of every request that is sent."""
    from requests.adapters import HTTPAdapter

    seen: list[tuple[str, int]] = []
    real = HTTPAdapter.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        seen.append((request.method, len(request.body or b"")))
        return real(self, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return seen


def test_a_large_file_goes_in_chunks_and_comes_back(
    oci_server: OciServer, tmp_path: Path, sent: list[tuple[str, int]]
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    registry = adapter(oci_server)
    registry.store_model(model_id, artifact, manifest)
    assert [size for method, size in sent if method == "PATCH"] == [CHUNK, CHUNK]
    assert max(size for _, size in sent) == CHUNK
    sent.clear()
    registry.store_model(model_id, artifact, manifest)
    assert {method for method, _ in sent} <= {"GET", "HEAD"}, "what is there is not sent again"
    registry.retrieve_model(model_id, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == LARGE["model.bin"]
    assert oci_server.open_uploads(REPOSITORY) == []


class Interrupted(Exception):
    """Stands for whatever stops an upload from the inside."""


@pytest.mark.parametrize(("method", "nth"), [("PATCH", 2), ("PUT", 2)])
@pytest.mark.parametrize("error", [Interrupted, ConnectionResetError])
def test_an_interrupted_upload_leaves_nothing_visible_and_nothing_open(
    oci_server: OciServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    nth: int,
    error: type[Exception],
) -> None:
    import urllib3

    pool = urllib3.connectionpool.HTTPConnectionPool
    real = pool.urlopen
    seen: list[str] = []

    def urlopen(self: Any, **options: Any) -> Any:
        seen.append(options["method"])
        if options["method"] == method and seen.count(method) == nth:
            raise error("stopped") if error is Interrupted else urllib3.exceptions.ProtocolError("x", error())
        return real(self, **options)

    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(pool, "urlopen", urlopen)
        with pytest.raises((Interrupted, Unavailable)):
            adapter(oci_server).store_model(model_id, artifact, manifest)
    registry = adapter(oci_server)
    assert not registry.exists(model_id)
    assert list(registry.list()) == []
    assert list(registry.contents(model_id)) == []
    assert oci_server.open_uploads(REPOSITORY) == []
    registry.store_model(model_id, artifact, manifest)
    registry.retrieve_model(model_id, tmp_path / "out")


def test_a_staged_file_that_changed_is_not_stored(oci_server: OciServer, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    (artifact.root / "model.bin").write_bytes(LARGE["model.bin"][:-1] + b"?")
    with pytest.raises(IntegrityError, match=r"model\.bin was changed while it was sent"):
        adapter(oci_server).store_model(model_id, artifact, manifest)
    assert not adapter(oci_server).exists(model_id)
    assert oci_server.open_uploads(REPOSITORY) == []


def test_a_damaged_blob_that_the_server_takes_for_ours_is_found(
    oci_server: OciServer, tmp_path: Path
) -> None:
    """docker-registry confirms an upload and keeps the blob that another repository damaged long ago."""
    damaged = oci_server.push("another/repository", SMALL["model.bin"])
    oci_server.blob(damaged).write_bytes(SMALL["model.bin"][:-1] + b"S")
    model_id, artifact, manifest = model(tmp_path / "m")
    with pytest.raises(IntegrityError, match=rf"models/{model_id}/artifact/model\.bin was changed"):
        adapter(oci_server).store_model(model_id, artifact, manifest)
    assert not adapter(oci_server).exists(model_id)


def test_a_blob_that_the_server_lost_is_missing(oci_server: OciServer, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    adapter(oci_server).store_model(model_id, artifact, manifest)
    oci_server.blob(digest(SMALL["model.bin"])).unlink()
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin is missing"):
        adapter(oci_server).retrieve_model(model_id, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_manifest_is_found(oci_server: OciServer, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    adapter(oci_server).store_model(model_id, artifact, manifest)
    image = model_package(Manifest.from_bytes(manifest)).manifest
    oci_server.blob(digest(image)).write_bytes(image.replace(b"notes/about.txt", b"notes/About.txt"))
    for call in (
        lambda: adapter(oci_server).retrieve_model(model_id, tmp_path / "out"),
        lambda: adapter(oci_server).store_model(model_id, artifact, manifest),
        lambda: list(adapter(oci_server).contents(model_id)),
    ):
        with pytest.raises(IntegrityError, match=f"image manifest {model_id} .*was changed"):
            call()


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("other", r"metadata\.json was changed"),
        ([{"digest": "sha256:none", "size": 1}], "cannot be read"),
        ([{"digest": f"sha256:{'0' * 64}"}], "cannot be read"),
        ("nothing", r"metadata\.json"),
    ],
)
def test_a_moved_tag_is_found_by_reading_and_by_storing_again(
    oci_server: OciServer, tmp_path: Path, layers: object, expected: str
) -> None:
    """Whoever may push can move a tag to another model, or to nonsense; the id gives it away."""
    stored = model(tmp_path / "m")
    adapter(oci_server).store_model(*stored)
    other = model(tmp_path / "o", {"other.bin": b"other"})
    adapter(oci_server).store_model(*other)
    image = oci_server.manifest(REPOSITORY, other[0])
    assert image is not None
    if layers == "other":
        wrong = image
    elif layers == "nothing":
        wrong = {**image, "layers": []}
    else:
        # docker-registry refuses layers that are not there, so they come in beneath it.
        wrong = {**image, "layers": image["layers"]}
    oci_server.tag(REPOSITORY, stored[0], wrong)
    if isinstance(layers, list):
        data = json.dumps({**image, "layers": layers}).encode()
        _replace_manifest(oci_server, stored[0], data)
    registry = adapter(oci_server)
    with pytest.raises((IntegrityError, NotFound), match=expected):
        registry.retrieve_model(stored[0], tmp_path / "out")
    with pytest.raises(IntegrityError):
        registry.store_model(*stored)
    registry.retrieve_model(other[0], tmp_path / "out")


def _replace_manifest(server: OciServer, tag: str, data: bytes) -> None:
    """File other bytes as an image manifest, link and all, which the server itself would not take."""
    repository = server.storage / "docker/registry/v2/repositories" / REPOSITORY / "_manifests"
    link = f"sha256:{digest(data)}"
    for place in (repository / "tags" / tag / "current", repository / "revisions/sha256" / digest(data)):
        place.mkdir(parents=True, exist_ok=True)
        (place / "link").write_text(link)
    server.blob(digest(data)).parent.mkdir(parents=True)
    server.blob(digest(data)).write_bytes(data)


def test_a_moved_attachment_tag_is_found_when_it_is_attached_again(
    oci_server: OciServer, tmp_path: Path
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    registry = adapter(oci_server)
    registry.store_model(model_id, artifact, manifest)
    one, other = registry.attach(model_id, b"a plot"), registry.attach(model_id, b"another plot")
    image = oci_server.manifest(REPOSITORY, model_id + other)
    assert image is not None
    oci_server.tag(REPOSITORY, model_id + one, image)
    with pytest.raises(IntegrityError, match=rf"attachments/{other} is not in the manifest"):
        registry.attach(model_id, b"a plot")
    assert list(registry.list()) == [model_id]


def test_an_attachment_of_another_model_is_not_this_ones(oci_server: OciServer, tmp_path: Path) -> None:
    one, other = model(tmp_path / "m")[0], model(tmp_path / "o", {"other.bin": b"other"})[0]
    sha256 = adapter(oci_server).attach(one, b"a plot")
    assert adapter(oci_server).read_attachment(one, sha256) == b"a plot"
    with pytest.raises(NotFound):
        adapter(oci_server).read_attachment(other, sha256)


def test_a_stranger_s_tool_pulls_a_model_with_its_layout(oci_server: OciServer, tmp_path: Path) -> None:
    import oras.client

    model_id, artifact, manifest = model(tmp_path / "m")
    adapter(oci_server).store_model(model_id, artifact, manifest)
    oras.client.OrasClient(insecure=True).pull(
        target=f"{oci_server.host}/{REPOSITORY}:{model_id}", outdir=str(tmp_path / "out")
    )
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    wanted = {f"artifact/{path}": content for path, content in SMALL.items()}
    assert found == {**wanted, "metadata.json": manifest}


def test_packages_keep_their_bytes_for_ever() -> None:
    """An image manifest is written once for each model, and must be the same from whichever release."""
    files = (("model.onnx", 7), ("notes/about.txt", 5), ("params.json", 2), ("rows.parquet", 9))
    artifact = Artifact(tuple(ArtifactFile(path, size, digest(path.encode())) for path, size in files))
    package = model_package(Manifest(metadata(), lineage(0), artifact))
    assert package.manifest == (GOLDEN / "model-manifest.json").read_bytes()
    assert package.config == (GOLDEN / "model-config.json").read_bytes()
    attached = attachment_package(ModelId(digest(b"a model")), b"a plot")
    assert attached.manifest == (GOLDEN / "attachment-manifest.json").read_bytes()


# Signing in


def test_the_docker_configuration_gives_user_and_password(
    closed_oci_server: OciServer, docker_login: Login, tmp_path: Path
) -> None:
    server = closed_oci_server
    docker_login(server.host, server.user or "", server.password or "")
    stored = model(tmp_path / "m", LARGE)
    adapter(server).store_model(*stored)
    adapter(server).retrieve_model(stored[0], tmp_path / "out")


def test_a_credential_helper_gives_user_and_password(
    closed_oci_server: OciServer, docker_login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = closed_oci_server
    answer = json.dumps({"Username": server.user, "Secret": server.password})
    _helper(tmp_path, monkeypatch, f"grep -q '^{re.escape(server.host)}$' && echo '{answer}'")
    assert list(adapter(server).list()) == []


def _helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the docker configuration name a credential helper, a shell script."""
    helper = tmp_path / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "test"}')


def test_a_token_server_is_asked_when_the_registry_says_so(
    token_registry: TokenRegistry, docker_login: Login, tmp_path: Path
) -> None:
    """Tokens are for an action each, so a store asks again when it begins to write."""
    server = token_registry.registry
    docker_login(server.host, token_registry.user, token_registry.password)
    stored = model(tmp_path / "m", LARGE)
    adapter(server).store_model(*stored)
    adapter(server).retrieve_model(stored[0], tmp_path / "out")
    # The registry names the actions in any order.
    asked = [set(scope.rpartition(":")[2].split(",")) for scope in token_registry.tokens.asked]
    assert {"pull", "push"} in asked


def test_a_token_that_ran_out_is_replaced(
    token_registry: TokenRegistry, docker_login: Login, tmp_path: Path
) -> None:
    server, tokens = token_registry.registry, token_registry.tokens
    docker_login(server.host, token_registry.user, token_registry.password)
    registry = adapter(server)
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    tokens.lifetime, lifetime = -3600, tokens.lifetime
    expired = tokens.token(f"repository:{REPOSITORY}:pull", {"pull"})
    tokens.lifetime = lifetime
    registry._repository._authorization = f"Bearer {expired}"
    asked = len(tokens.asked)
    assert registry.exists(stored[0])
    assert len(tokens.asked) == asked + 1


def test_without_a_login_a_token_is_enough_to_read_and_not_to_write(
    token_registry: TokenRegistry, docker_login: Login, tmp_path: Path
) -> None:
    server = token_registry.registry
    stored = model(tmp_path / "m")
    with pytest.raises(InvalidInput, match="registry credentials"):
        adapter(server).store_model(*stored)
    docker_login(server.host, token_registry.user, token_registry.password)
    adapter(server).store_model(*stored)
    (tmp_path / "docker" / "config.json").unlink()
    adapter(server).retrieve_model(stored[0], tmp_path / "out")
    docker_login(server.host, token_registry.user, "wrong-secret")
    with pytest.raises(InvalidInput, match="registry credentials") as caught:
        adapter(server).exists(stored[0])
    assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("password", ["wrong-secret", "", None])
def test_wrong_and_missing_logins_are_one_sentence_without_them(
    closed_oci_server: OciServer, docker_login: Login, tmp_path: Path, password: str | None
) -> None:
    server = closed_oci_server
    if password is not None:
        docker_login(server.host, server.user or "", password)
    stored = model(tmp_path / "m")
    for call in (
        lambda: adapter(server).store_model(*stored),
        lambda: list(adapter(server).list()),
        lambda: adapter(server).exists(stored[0]),
    ):
        with pytest.raises(InvalidInput, match=r"registry credentials .* log in with docker login") as caught:
            call()
        shown = str(caught.value)
        assert server.host in shown
        assert not any(secret in shown for secret in ("wrong-secret", "planted-secret", "quant"))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"auths": {"HOST": {"auth": "cGxhbnRlZC1zZWNyZXQ="}}}', '{"credsStore": "../x"}']
)
def test_a_broken_docker_configuration_is_one_sentence_without_what_is_in_it(
    closed_oci_server: OciServer, docker_login: Login, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "docker" / "config.json"
    file.write_text(content.replace("HOST", closed_oci_server.host))
    with pytest.raises(InvalidInput, match=r"docker configuration is .*config\.json") as caught:
        list(adapter(closed_oci_server).list())
    assert "planted-secret" not in str(caught.value)
    assert "cGxhbnR" not in str(caught.value)


# Servers that are not there, or are something else


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        registry = OciModelRegistry(f"127.0.0.1:{reserved.getsockname()[1]}", REPOSITORY, insecure=True)
        with pytest.raises(
            Unavailable, match=r"cannot be reached: check host and port \(Connection refused\)"
        ):
            registry.store_model(*model(tmp_path / "m"))


def test_a_server_without_tls_is_not_spoken_to_in_the_clear(oci_server: OciServer) -> None:
    with pytest.raises(Unavailable, match=r"there is no TLS .*insecure=1"):
        list(OciModelRegistry(oci_server.host, REPOSITORY).list())


@contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    """Host and port of an HTTP server that runs until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """A server that is no registry: it shows files, of which there are none."""
    with serving(partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "none"))) as host:
        yield host


def test_a_server_that_is_no_registry_is_one_sentence(website: str, tmp_path: Path) -> None:
    registry = OciModelRegistry(website, REPOSITORY, insecure=True)
    stored = model(tmp_path / "m")
    for call in (
        lambda: registry.store_model(*stored),
        lambda: registry.exists(stored[0]),
        lambda: registry.read_manifest(stored[0]),
        lambda: list(registry.list()),
    ):
        with pytest.raises(InvalidInput, match=f"registry is '{website}': no OCI registry answers there"):
            call()


class OnlyKnownRepositories(BaseHTTPRequestHandler):
    """Answers like registries that make no repository by themselves, such as ECR; docker-registry does."""

    def do_GET(self) -> None:
        known = self.path == "/v2/"
        body = b"{}" if known else b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}'
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_repository_that_has_to_be_made_first_is_one_sentence(tmp_path: Path) -> None:
    with serving(OnlyKnownRepositories) as host:
        registry = OciModelRegistry(host, REPOSITORY, insecure=True)
        with pytest.raises(
            InvalidInput, match=f"repository is '{REPOSITORY}': {host} has none such, create it"
        ):
            registry.store_model(*model(tmp_path / "m"))
        assert list(registry.list()) == []


def test_a_repository_without_a_model_is_empty(oci_server: OciServer) -> None:
    assert list(adapter(oci_server).list()) == []


# Processes


def _store(server: OciServer, files: Path, start: Any, answers: Any) -> None:
    described = model(files, LARGE)
    registry = adapter(server)
    start.wait()
    try:
        registry.store_model(*described)
        answers.put("stored")
    except BaseException as error:
        answers.put(repr(error))


def test_eight_processes_that_store_the_same_large_model_all_succeed(
    oci_server: OciServer, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    workers = [
        context.Process(target=_store, args=(oci_server, tmp_path / f"m-{n}", start, answers))
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=120) for _ in workers] == ["stored"] * 8
    for worker in workers:
        worker.join(60)
    registry = adapter(oci_server)
    (model_id,) = registry.list()
    registry.retrieve_model(model_id, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == LARGE["model.bin"]


def test_a_forked_process_makes_its_own_connections(oci_server: OciServer, tmp_path: Path) -> None:
    registry = adapter(oci_server)
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    session = registry._repository._session

    def work() -> tuple[bool, bool]:
        return registry.exists(model_id), registry._repository._session is session

    assert in_child(work) == (True, False)
    assert registry.exists(model_id)
    assert registry._repository._session is session


def test_making_the_adapter_imports_nothing_heavy() -> None:
    code = (
        "import sys; from veritasvault.adapters.oci_registry import OciModelRegistry as R\n"
        "R('host', 'models'); print([m for m in ('requests', 'urllib3', 'oras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

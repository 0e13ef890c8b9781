"""What every model registry has to do: the same suite for the file system, S3 and the fake."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.registry.artifact import StagedArtifact
from domain.registry.canonical import digest
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import CollectablePort, StoredFile
from tests.adapters.artifacts import staged
from tests.contracts.around_mlflow import AroundMlflow
from tests.contracts.around_oci import AroundOci
from tests.exactly_once.candidates import lineage, metadata
from tests.fakes.registry import FakeModelRegistry
from veritasvault.adapters.filesystem_registry import FilesystemModelRegistry
from veritasvault.adapters.git_lfs_registry import GitLfsModelRegistry
from veritasvault.adapters.mlflow_registry import MlflowModelRegistry
from veritasvault.adapters.oci_registry import OciModelRegistry
from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter

FILES = {"model.bin": b"weights" * 1000, "notes/about.txt": b"About.", "empty.txt": b""}
UNKNOWN = ModelId(digest(b"no such model"))


@dataclass(frozen=True)
class Store:
    """A registry, opened anew as another process would, and a way around it to its objects."""

    reopen: Callable[[], CollectablePort]
    overwrite: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    directory: Path

    def model(
        self, number: int = 0, files: dict[str, bytes] | None = None
    ) -> tuple[ModelId, StagedArtifact, bytes]:
        """The arguments of `store_model` for a model of its own."""
        artifact = staged(self.directory / f"staged-{number}-{random.randbytes(4).hex()}", files or FILES)
        manifest = Manifest(metadata(), lineage(number), artifact.artifact)
        return manifest.model_id, artifact, manifest.to_bytes()

    def stored(self, number: int = 0) -> ModelId:
        model = self.model(number)
        self.reopen().store_model(*model)
        return model[0]


def _fake(directory: Path, request: pytest.FixtureRequest) -> Store:
    registry = FakeModelRegistry()
    return Store(lambda: registry, registry.objects.__setitem__, registry.objects.__delitem__, directory)


def _filesystem(directory: Path, request: pytest.FixtureRequest) -> Store:
    root = directory / "registry"

    def overwrite(key: str, content: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).unlink(missing_ok=True)
        (root / key).write_bytes(content)

    return Store(
        lambda: FilesystemModelRegistry(root), overwrite, lambda key: (root / key).unlink(), directory
    )


def _s3(directory: Path, request: pytest.FixtureRequest) -> Store:
    server = request.getfixturevalue("s3_server")
    bucket, client = server.make_bucket(), server.client()
    return Store(
        lambda: S3ModelRegistryAdapter(
            bucket,
            prefix="some/prefix",
            endpoint_url=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
        ),
        lambda key, content: client.put_object(Bucket=bucket, Key=f"some/prefix/{key}", Body=content),
        lambda key: client.delete_object(Bucket=bucket, Key=f"some/prefix/{key}"),
        directory,
    )


def _oci(directory: Path, request: pytest.FixtureRequest) -> Store:
    server = request.getfixturevalue("oci_server")
    around = AroundOci(server, "some/models", FILES)
    return Store(
        lambda: OciModelRegistry(server.host, "some/models", insecure=True),
        around.overwrite,
        around.remove,
        directory,
    )


def _mlflow(directory: Path, request: pytest.FixtureRequest) -> Store:
    return _on_mlflow(request.getfixturevalue("mlflow_server").url, directory)


def _mlflow_embedded(directory: Path, request: pytest.FixtureRequest) -> Store:
    return _on_mlflow(request.getfixturevalue("mlflow_store"), directory)


def _on_mlflow(uri: str, directory: Path) -> Store:
    around = AroundMlflow(uri, f"models-{random.randbytes(8).hex()}", directory / "mlflow-artifacts")
    return Store(
        lambda: MlflowModelRegistry(uri, around.experiment), around.overwrite, around.remove, directory
    )


def _git_lfs(directory: Path, request: pytest.FixtureRequest) -> Store:
    remote = request.getfixturevalue("git_remote")
    # Half of those who open it share a clone, as on one machine; the others have one each.
    caches = (directory / f"cache-{number // 2 if number % 4 else 0}" for number in itertools.count())
    return Store(
        lambda: GitLfsModelRegistry(remote.url, next(caches)), remote.overwrite, remote.remove, directory
    )


# A new registry is one line here.
BACKENDS = {
    "fake": _fake,
    "filesystem": _filesystem,
    "git-lfs": _git_lfs,
    "s3": _s3,
    "oci": _oci,
    "mlflow": _mlflow,
    "mlflow-embedded": _mlflow_embedded,
}


@pytest.fixture(params=sorted(BACKENDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return BACKENDS[request.param](tmp_path, request)


def test_what_was_stored_is_retrieved(store: Store) -> None:
    """Files, contents, manifest and listing agree, also for who opens the registry later."""
    model_id, artifact, manifest = store.model()
    assert not store.reopen().exists(model_id)
    store.reopen().store_model(model_id, artifact, manifest)
    registry = store.reopen()
    assert registry.exists(model_id)
    assert list(registry.list()) == [model_id]
    assert registry.read_manifest(model_id) == manifest
    assert list(registry.contents(model_id)) == [
        StoredFile(path, len(content)) for path, content in sorted(FILES.items())
    ]
    destination = store.directory / "new" / "retrieved"
    registry.retrieve_model(model_id, destination)
    found = {
        str(path.relative_to(destination)): path.read_bytes()
        for path in destination.rglob("*")
        if path.is_file()
    }
    assert found == FILES


def test_storing_again_changes_nothing(store: Store) -> None:
    """The same content a second time is a no-op."""
    model_id, artifact, manifest = store.model()
    for _ in range(3):
        store.reopen().store_model(model_id, artifact, manifest)
    assert list(store.reopen().list()) == [model_id]


def test_what_a_crash_left_is_adopted_and_invisible_until_then(store: Store) -> None:
    """Files without a manifest are no model; storing it again completes it."""
    model_id, artifact, manifest = store.model()
    store.overwrite(f"models/{model_id}/artifact/model.bin", FILES["model.bin"])
    assert not store.reopen().exists(model_id)
    assert list(store.reopen().list()) == []
    store.reopen().store_model(model_id, artifact, manifest)
    assert store.reopen().exists(model_id)


def test_other_content_under_a_key_is_found_before_it_is_adopted(store: Store) -> None:
    """What is adopted was read and hashed; the error names the object, and no manifest appears."""
    model_id, artifact, manifest = store.model()
    store.overwrite(f"models/{model_id}/artifact/model.bin", FILES["model.bin"][:-1] + b"S")
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin"):
        store.reopen().store_model(model_id, artifact, manifest)
    assert not store.reopen().exists(model_id)


def test_a_changed_object_of_a_stored_model_is_found_when_it_is_stored_again(store: Store) -> None:
    """A second call re-reads what it adopts, the manifest too."""
    model_id, artifact, manifest = store.model()
    store.reopen().store_model(model_id, artifact, manifest)
    store.overwrite(f"models/{model_id}/metadata.json", manifest[:-1] + b" ")
    with pytest.raises(IntegrityError, match=r"metadata\.json"):
        store.reopen().store_model(model_id, artifact, manifest)


def test_a_manifest_of_another_model_is_refused(store: Store) -> None:
    """The id has to be the manifest's digest, and the manifest has to list the artifact's files."""
    model_id, artifact, _ = store.model(0)
    other_id, _, other = store.model(1, {"other.bin": b"x"})
    with pytest.raises(IntegrityError):
        store.reopen().store_model(model_id, artifact, other)
    with pytest.raises(InvalidInput):
        store.reopen().store_model(other_id, artifact, other)
    assert list(store.reopen().list()) == []


@pytest.mark.parametrize("key", ["artifact/model.bin", "artifact/notes/about.txt", "metadata.json"])
def test_a_flipped_bit_is_found_by_retrieving(store: Store, key: str) -> None:
    """The error names the object, and the destination does not appear."""
    model_id = store.stored()
    registry = store.reopen()
    name = key.removeprefix("artifact/")
    data = bytearray(FILES[name] if name in FILES else registry.read_manifest(model_id))
    data[len(data) // 2] ^= 1
    store.overwrite(f"models/{model_id}/{key}", bytes(data))
    destination = store.directory / "retrieved"
    with pytest.raises(IntegrityError, match=re.escape(key)):
        store.reopen().retrieve_model(model_id, destination)
    assert not destination.exists()
    assert [path.name for path in store.directory.iterdir() if "retrieved" in path.name] == []


def test_a_missing_and_an_added_file_are_found_by_retrieving(store: Store) -> None:
    """The set of files has to be the manifest's."""
    model_id = store.stored()
    store.overwrite(f"models/{model_id}/artifact/added.txt", b"more")
    with pytest.raises(IntegrityError, match=r"added\.txt"):
        store.reopen().retrieve_model(model_id, store.directory / "retrieved")
    store.remove(f"models/{model_id}/artifact/added.txt")
    store.remove(f"models/{model_id}/artifact/empty.txt")
    with pytest.raises(IntegrityError, match=r"empty\.txt"):
        store.reopen().retrieve_model(model_id, store.directory / "retrieved")


def test_what_is_not_there_is_not_found(store: Store) -> None:
    """Reading an unknown model, attachment or file is NotFound, an existing destination InvalidInput."""
    registry = store.reopen()
    with pytest.raises(NotFound):
        registry.read_manifest(UNKNOWN)
    with pytest.raises(NotFound):
        registry.retrieve_model(UNKNOWN, store.directory / "retrieved")
    model_id = store.stored()
    with pytest.raises(NotFound):
        registry.read_attachment(model_id, digest(b"nothing"))
    with pytest.raises(NotFound):
        list(registry.read_file(model_id, "nothing.bin"))
    (store.directory / "there").mkdir()
    with pytest.raises(InvalidInput, match="there"):
        registry.retrieve_model(model_id, store.directory / "there")
    assert list(registry.contents(UNKNOWN)) == []


def test_attachments_lie_under_their_digest(store: Store) -> None:
    """Attaching twice is a no-op, other content under the digest is found."""
    model_id = store.stored()
    sha256 = store.reopen().attach(model_id, b"a plot")
    assert store.reopen().attach(model_id, b"a plot") == sha256 == digest(b"a plot")
    assert store.reopen().read_attachment(model_id, sha256) == b"a plot"
    store.overwrite(f"models/{model_id}/attachments/{sha256}", b"a Plot")
    with pytest.raises(IntegrityError, match=sha256):
        store.reopen().attach(model_id, b"a plot")


@pytest.mark.parametrize("wrong", ["", "abc", "../" * 21 + "x", "A" * 64])
def test_what_is_no_model_id_is_refused(store: Store, wrong: str) -> None:
    """Ids become paths and keys, so nothing but 64 hexadecimal characters gets through."""
    with pytest.raises(InvalidInput):
        store.reopen().exists(ModelId(wrong))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        store.reopen().retrieve_model(ModelId(wrong), store.directory / "retrieved")  # type: ignore[arg-type]


def test_writers_at_once_agree(store: Store) -> None:
    """Eight writers of one model, and eight of eight models, all succeed, and each model is there once."""
    same = store.model(0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.reopen().store_model(*same), range(8)))
        others = list(pool.map(lambda number: store.stored(number), range(1, 9)))
    assert list(store.reopen().list()) == sorted([same[0], *others])
    for number, model_id in enumerate([same[0], *others]):
        store.reopen().retrieve_model(model_id, store.directory / f"retrieved-{number}")


def test_everything_stored_is_listed_with_its_age(store: Store) -> None:
    """Models and attachments, in the order of ids; times are the store's, or none."""
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    assert list(store.reopen().stored()) == []
    ids = sorted([store.stored(0), store.stored(1)])
    sha256 = store.reopen().attach(ids[0], b"a plot")
    first, second = store.reopen().stored()
    assert [first.model_id, second.model_id] == ids
    assert [attachment.sha256 for attachment in first.attachments] == [sha256]
    assert {attachment.size for attachment in first.attachments} <= {6, None}
    assert second.attachments == ()
    for modified in (first.modified, second.modified, first.attachments[0].modified):
        assert modified is None or before < modified < dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)


def test_a_deleted_model_is_gone_and_can_be_stored_again(store: Store) -> None:
    """Nothing of it is left, nothing of another is touched, and storing and deleting again work."""
    gone, kept = store.stored(0), store.stored(1)
    sha256 = store.reopen().attach(gone, b"a plot")
    store.reopen().attach(kept, b"a plot")
    for _ in range(2):
        store.reopen().delete_model(gone, _always)
        registry = store.reopen()
        assert not registry.exists(gone)
        assert [model.model_id for model in registry.stored()] == [kept] == list(registry.list())
        assert list(registry.contents(gone)) == []
        with pytest.raises(NotFound):
            registry.read_attachment(gone, sha256)
    assert store.reopen().read_attachment(kept, sha256) == b"a plot"
    assert store.stored(0) == gone
    store.reopen().attach(gone, b"a plot")
    store.reopen().retrieve_model(gone, store.directory / "again")
    assert store.reopen().read_attachment(gone, sha256) == b"a plot"
    store.reopen().delete_model(UNKNOWN, _always)
    assert list(store.reopen().list()) == sorted([gone, kept])


def test_what_a_crash_left_is_deleted_like_a_model(store: Store) -> None:
    """Files and attachments without a manifest are listed, if the store can list them, and then are not."""
    model_id = store.model(0)[0]
    store.overwrite(f"models/{model_id}/artifact/model.bin", FILES["model.bin"])
    store.reopen().attach(model_id, b"a plot")
    assert [model.model_id for model in store.reopen().stored()] == [model_id]
    store.reopen().delete_model(model_id, _always)
    assert list(store.reopen().stored()) == []
    assert store.stored(0) == model_id


def test_a_deleted_attachment_leaves_all_others(store: Store) -> None:
    """Model and other attachments stay; deleting twice is a no-op; attaching again works."""
    model_id = store.stored()
    kept = store.reopen().attach(model_id, b"a plot")
    gone = store.reopen().attach(model_id, b"a table")
    for _ in range(2):
        store.reopen().delete_attachment(model_id, gone, _always)
        with pytest.raises(NotFound):
            store.reopen().read_attachment(model_id, gone)
    (found,) = store.reopen().stored()
    assert [attachment.sha256 for attachment in found.attachments] == [kept]
    assert store.reopen().exists(model_id)
    assert store.reopen().attach(model_id, b"a table") == gone
    assert store.reopen().read_attachment(model_id, gone) == b"a table"


def _always() -> None:
    """What is deleted is ours, however long it takes."""


def test_each_deletion_asks_first_whether_it_still_may(store: Store) -> None:
    """Refused at once, all is still there; refused at any later request, the next try deletes the rest."""
    model_id = store.stored()
    sha256 = store.reopen().attach(model_id, b"a plot")
    asked = 0

    def no_longer() -> None:
        nonlocal asked
        if asked == 0:
            raise Unavailable("no longer ours")
        asked -= 1

    for delete in (
        lambda registry: registry.delete_attachment(model_id, sha256, no_longer),
        lambda registry: registry.delete_model(model_id, no_longer),
    ):
        with pytest.raises(Unavailable, match="no longer ours"):
            delete(store.reopen())
        assert store.reopen().read_attachment(model_id, sha256) == b"a plot"
        store.reopen().retrieve_model(model_id, store.directory / f"retrieved-{random.randbytes(4).hex()}")
    for allowed in range(1, 30):
        asked = allowed
        try:
            store.reopen().delete_model(model_id, no_longer)
        except Unavailable:
            continue
        break
    assert list(store.reopen().stored()) == []
    assert store.stored() == model_id


def test_the_mark_is_kept_beside_the_models(store: Store) -> None:
    """There is none at first; the last one written counts; it is no model."""
    assert store.reopen().ledger_mark() is None
    for mark in (b'{"ledger":"one"}', b'{"ledger":"other"}', b'{"ledger":"other"}'):
        store.reopen().set_ledger_mark(mark)
        assert store.reopen().ledger_mark() == mark
    assert list(store.reopen().stored()) == list(store.reopen().list()) == []
    model_id = store.stored()
    assert [model.model_id for model in store.reopen().stored()] == [model_id]
    assert store.reopen().ledger_mark() == mark


def test_a_registry_at_rest_has_no_leftovers(store: Store) -> None:
    store.stored()
    assert list(store.reopen().leftovers()) == []


def test_a_model_that_is_deleted_while_it_is_stored_can_be_stored_afterwards(store: Store) -> None:
    """Who loses, writer or deleter, fails with an error of ours; what is stored afterwards is whole."""
    model_id, artifact, manifest = store.model()

    def write() -> None:
        with suppress(DomainException):
            store.reopen().store_model(model_id, artifact, manifest)

    def delete() -> None:
        with suppress(Unavailable):
            store.reopen().delete_model(model_id, _always)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(each) for each in [write, delete, write] * 4]:
            done.result()
    store.reopen().store_model(model_id, artifact, manifest)
    store.reopen().retrieve_model(model_id, store.directory / "retrieved")

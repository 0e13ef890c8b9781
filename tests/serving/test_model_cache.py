"""The cache of `veritas.load`: one copy for many, never more than the limit, never taken from who uses it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError, Unavailable
from domain.registry.manifest import ModelId
from tests import processes
from tests.serving.shop import ROWS, Shop
from veritasvault.serving.model_cache import CachedCopy, ModelCache

SIZE = 1000


def model_id(number: int) -> ModelId:
    return ModelId(digest(f"{number}".encode()))


class Store:
    """A cache of copies of `SIZE` bytes, and how often one was made."""

    def __init__(self, root: Path, copies: int = 100) -> None:
        self.root = root
        self.cache = ModelCache(root, copies * SIZE, finished="done")
        self.filled = 0

    def get(self, number: int) -> CachedCopy:
        def fill(directory: Path) -> None:
            self.filled += 1
            (directory / "data").write_bytes(bytes([number]) * SIZE)
            (directory / "done").write_bytes(b"")

        def check(directory: Path) -> int:
            if (directory / "data").read_bytes() != bytes([number]) * SIZE:
                raise IntegrityError("damaged")
            return number

        copy, value = self.cache.get(model_id(number), check, fill)
        assert value == number
        return copy

    def age(self, number: int, seconds: float) -> None:
        """Let the last use of a model's copies be so long ago."""
        then = time.time() - seconds
        for lock in self.root.glob(f"models/{model_id(number)}/*.lock"):
            os.utime(lock, (then, then))

    def held(self) -> set[int]:
        """The models that have a copy."""
        return {number for number in range(20) if list(self.root.glob(f"models/{model_id(number)}/*/done"))}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", copies=3)


def test_a_copy_is_made_once(store: Store) -> None:
    assert store.get(1).path == store.get(1).path
    assert store.filled == 1


def test_the_least_recently_used_copies_make_room(store: Store) -> None:
    for number in (1, 2, 3):
        store.get(number).release()
        store.age(number, 100 - number)
    store.get(1).release()
    store.get(4).release()
    assert store.held() == {1, 3, 4}
    store.get(2).release()
    assert store.filled == 5


def test_a_copy_in_use_is_kept_also_above_the_limit(store: Store) -> None:
    """Until it is released; then the next one that needs the room removes it."""
    copies = [store.get(number) for number in range(5)]
    assert store.held() == {0, 1, 2, 3, 4}
    assert all((copy.path / "data").exists() for copy in copies)
    for copy in copies[:3]:
        copy.release()
    store.get(9).release()
    assert store.held() == {3, 4, 9}


def test_what_a_killed_process_left_unfinished_is_removed_and_never_used(store: Store) -> None:
    """A process dies while it writes a copy: nobody takes the half, and its room is given back."""

    def dies(directory: Path) -> None:
        (directory / "data").write_bytes(b"half")
        os.kill(os.getpid(), 9)

    with pytest.raises(processes.ChildKilled):
        processes.in_child(lambda: store.cache.get(model_id(1), lambda _: None, dies))
    (half,) = store.root.glob("models/*/*/data")
    copy = store.get(1)
    assert (copy.path / "data").stat().st_size == SIZE
    assert not half.exists()
    assert len(list(store.root.glob("models/*/*.lock"))) == 1


def test_a_copy_whose_lock_was_removed_before_it_was_held_takes_another_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another service makes room just when the lock is made, and takes it for a dead process's."""
    real = fcntl.flock
    waiting: list[int] = []

    def late(lock: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH and not waiting:
            waiting.append(lock)
            store.get(2).release()
            assert os.fstat(lock).st_nlink == 0
        real(lock, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    copy = store.get(1)
    assert copy.path.with_suffix(".lock").exists()
    copy.release()
    assert store.get(1).path == copy.path
    assert store.filled == 2


def test_a_copy_that_cannot_be_made_leaves_nothing(store: Store) -> None:
    def fails(directory: Path) -> None:
        (directory / "data").write_bytes(b"half")
        raise Unavailable("the registry is away")

    with pytest.raises(Unavailable, match="the registry is away"):
        store.cache.get(model_id(1), lambda _: None, fails)
    assert list(store.root.glob("models/*/*")) == []


def test_a_read_only_cache_serves_what_is_in_it(store: Store) -> None:
    """As in a container's image: nothing is written, and what is missing is one sentence."""
    store.get(1).release()

    def reader() -> tuple[int, str]:
        processes.without_privileges()
        number = (store.get(1).path / "data").read_bytes()[0]
        try:
            store.get(2)
        except Unavailable as error:
            return number, str(error)
        return number, ""

    for path in [store.root, *store.root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for parent in store.root.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    number, sentence = processes.in_child(reader)
    assert number == 1
    assert sentence.startswith(f"writing to the cache {store.root} failed")


def test_threads_share_one_copy(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        copies = list(pool.map(lambda _: store.get(1), range(8)))
    assert len({copy.path for copy in copies}) == 1
    assert store.filled == 1


def test_processes_that_load_at_once_fetch_a_version_once(tmp_path: Path) -> None:
    """Eight services start together: all predict the same from one copy."""
    shop = Shop(tmp_path)
    shop.register(1)
    expected = shop.load("volatility@1").predict(ROWS)
    for copy in shop.cache.glob("models/*"):
        copy.rename(tmp_path / "old")

    def service(_: int) -> tuple[str, list[float]]:
        def work() -> tuple[str, list[float]]:
            model = shop.load("volatility@latest")
            return str(model.path), model.predict(ROWS).tolist()

        answer: tuple[str, list[float]] = processes.in_child(work)
        return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(service, range(8)))
    assert len({path for path, _ in answers}) == 1
    assert len(shop.copies()) == 1
    for _, forecasts in answers:
        np.testing.assert_array_equal(forecasts, expected)


def test_processes_that_load_and_evict_each_other_all_predict(tmp_path: Path) -> None:
    """A cache with room for one copy, and services of three versions on it: each gets what it asked for."""
    shop = Shop(tmp_path)
    for number in (1, 2, 3):
        shop.register(number)

    def service(seed: int) -> list[int]:
        def work() -> list[int]:
            loader = shop.loader(cache_bytes=1)
            found = []
            for turn in range(6):
                with loader.load(f"volatility@{(seed + turn) % 3 + 1}") as model:
                    assert (model.path / "model.onnx").is_file()
                    assert model.predict(ROWS).shape == (2,)
                    found.append(model.version)
            return found

        answer: list[int] = processes.in_child(work)
        return answer

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(service, range(4)))
    assert answers == [[(seed + turn) % 3 + 1 for turn in range(6)] for seed in range(4)]
    assert len(shop.copies()) <= 4

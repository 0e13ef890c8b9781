"""What every ledger has to do: the same suite for SQLite, PostgreSQL and the fake."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.registry.errors import IntegrityError, LedgerConflict
from domain.registry.events import DomainEvent, event_to_bytes
from domain.registry.ledger.adoption import AdoptingLedgerPort
from domain.registry.ledger.merkle import Frontier, leaf_hash
from domain.registry.ledger.view import project
from domain.registry.ports import Batch, Entry, LedgerPort, StoredCheckpoint
from tests.fakes.events import refused, registered
from tests.fakes.ledger import FakeLedger
from tests.servers.postgres import NewDatabase
from veritasvault.adapters.sql_ledger import SqlLedger

# A new ledger is one line here: from what the fixtures give to a function that opens it anew.
BACKENDS: dict[str, Callable[[Path, pytest.FixtureRequest], Callable[[], AdoptingLedgerPort]]] = {
    "fake": lambda path, request: _always(FakeLedger()),
    "sqlite": lambda path, request: _opened(f"sqlite:///{path}/ledger.db"),
    "postgres": lambda path, request: _opened(_new_database(request)()),
}


def _always(port: AdoptingLedgerPort) -> Callable[[], AdoptingLedgerPort]:
    return lambda: port


def _opened(url: str) -> Callable[[], AdoptingLedgerPort]:
    return lambda: SqlLedger(url)


def _new_database(request: pytest.FixtureRequest) -> NewDatabase:
    new_database: NewDatabase = request.getfixturevalue("postgres_url")
    return new_database


@pytest.fixture(params=sorted(BACKENDS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], AdoptingLedgerPort]]:
    """Opens the one ledger of a test again, as another process would."""
    opened: list[AdoptingLedgerPort] = []
    backend = BACKENDS[request.param](tmp_path, request)

    def open_again() -> AdoptingLedgerPort:
        opened.append(backend())
        return opened[-1]

    yield open_again
    for port in opened:
        if isinstance(port, SqlLedger):
            port.close()


@pytest.fixture
def port(reopen: Callable[[], AdoptingLedgerPort]) -> AdoptingLedgerPort:
    return reopen()


def batch_of(port: LedgerPort, *events: DomainEvent) -> Batch:
    """The batch for events at the end of the ledger."""
    size = port.size()
    frontier = Frontier.of(size, port.nodes)
    datas = [event_to_bytes(event) for event in events]
    entries = tuple(
        Entry(size + number, event.key, data, leaf_hash(data))
        for number, (event, data) in enumerate(zip(events, datas, strict=True))
    )
    nodes = tuple(node for entry in entries for node in frontier.append(entry.leaf_hash))
    rows = (project(event, size + number) for number, event in enumerate(events))
    return Batch(entries, nodes, tuple(row for row in rows if row is not None))


def append(port: LedgerPort, *events: DomainEvent) -> Batch:
    batch = batch_of(port, *events)
    port.append(port.size(), batch)
    return batch


def test_a_new_ledger_is_empty(port: LedgerPort) -> None:
    assert port.size() == 0
    assert port.find("registered:volatility:nothing") is None
    assert list(port.read(0)) == list(port.all_nodes()) == list(port.versions()) == []
    assert list(port.checkpoints()) == []
    assert port.last_checkpoint() is None
    assert port.version("volatility", 1) is None
    assert port.by_model_id(registered(0, 1).model_id) is None
    assert port.nodes([(0, 0), (1, 0)]) == {}


def test_many_keys_are_looked_up_at_once(port: LedgerPort) -> None:
    """Those that are there come back by their key; the others, and no keys at all, are no error."""
    written = append(port, *(registered(number, number + 1) for number in range(5))).entries
    keys = [entry.key for entry in written]
    assert port.find_each([keys[3], "nothing", keys[0]]) == {keys[3]: written[3], keys[0]: written[0]}
    assert port.find_each([]) == {}


def test_reading_makes_no_ledger_and_sees_one_that_another_process_makes(
    reopen: Callable[[], AdoptingLedgerPort], tmp_path: Path
) -> None:
    """Whoever may only read an empty place is not in the way of whoever writes there."""
    reader, writer = reopen(), reopen()
    assert reader.size() == 0
    if isinstance(reader, SqlLedger):
        database = reader._url.render_as_string(hide_password=False)
        assert not list(tmp_path.iterdir())
        if not reader._sqlite:
            assert sa.inspect(sa.create_engine(database)).get_table_names() == []
    written = append(writer, refused(1))
    assert reader.size() == 1
    assert tuple(reader.read(0)) == written.entries
    assert reader.origin() == writer.origin()


def test_the_origin_is_a_random_name_that_stays(reopen: Callable[[], AdoptingLedgerPort]) -> None:
    first = reopen().origin()
    assert re.fullmatch(r"veritasvault/ledger/[0-9a-f]{32}", first)
    assert reopen().origin() == first


def test_what_was_appended_is_read_back_by_another_connection(
    reopen: Callable[[], AdoptingLedgerPort],
) -> None:
    written = append(reopen(), *(registered(number, number + 1) for number in range(5)), refused(1))
    port = reopen()
    assert port.size() == 6
    assert tuple(port.read(0)) == written.entries
    assert set(port.all_nodes()) == set(written.nodes)
    assert tuple(port.versions())[::-1] == written.versions
    assert all(port.find(entry.key) == entry for entry in written.entries)


def test_entries_are_read_from_start_up_to_stop_in_order(port: LedgerPort) -> None:
    written = append(port, *(refused(number) for number in range(7)))
    assert tuple(port.read(2, 5)) == written.entries[2:5]
    assert tuple(port.read(5)) == written.entries[5:]
    assert tuple(port.read(7)) == ()
    assert tuple(port.read(6, 100)) == written.entries[6:]


def test_more_rows_than_a_page_are_read_completely(port: LedgerPort) -> None:
    written = append(port, *(registered(number, number + 1) for number in range(1203)))
    assert tuple(port.read(1)) == written.entries[1:]
    assert len(list(port.versions())) == 1203
    assert [row.index for row in port.versions(limit=1001)] == list(range(1202, 201, -1))
    assert [(node.level, node.index) for node in port.all_nodes()] == sorted(
        (node.level, node.index) for node in written.nodes
    )


def test_nodes_are_found_by_level_and_index_with_the_leaves_at_level_0(port: LedgerPort) -> None:
    written = append(port, *(refused(number) for number in range(4)))
    hashes = {(node.level, node.index): node.hash for node in written.nodes}
    wanted = [(0, 2), (1, 0), (2, 0), (1, 7), (0, 99)]
    assert port.nodes(wanted) == {
        (0, 2): written.entries[2].leaf_hash,
        (1, 0): hashes[1, 0],
        (2, 0): hashes[2, 0],
    }
    assert port.nodes([]) == {}


def test_an_append_at_another_size_is_a_conflict_and_writes_nothing(port: LedgerPort) -> None:
    append(port, refused(1))
    late = batch_of(port, refused(2))
    append(port, refused(3))
    for size in (0, 1, 3):
        with pytest.raises(LedgerConflict):
            port.append(size, late)
    assert port.size() == 2
    assert port.find(refused(2).key) is None


def test_a_key_that_is_taken_is_a_conflict_and_writes_nothing(port: LedgerPort) -> None:
    append(port, registered(1, 1))
    with pytest.raises(LedgerConflict):
        port.append(1, batch_of(port, registered(2, 2), registered(1, 3)))
    assert port.size() == 1
    assert len(list(port.versions())) == 1
    assert list(port.all_nodes()) == []


def test_versions_are_newest_first_by_name_as_of_date_and_earlier_than_an_entry(port: LedgerPort) -> None:
    append(port, registered(1, 1, "a"), registered(2, 1, "b"), refused(1), registered(3, 2, "a"))
    append(port, registered(4, 3, "a"))
    assert [row.index for row in port.versions()] == [4, 3, 1, 0]
    assert [row.version for row in port.versions("a")] == [3, 2, 1]
    assert [row.version for row in port.versions("a", before=4)] == [2, 1]
    assert [row.version for row in port.versions("a", before=4, limit=1)] == [2]
    assert [row.index for row in port.versions(as_of=dt.date(2020, 1, 4))] == [3]
    assert [row.index for row in port.versions("b", as_of=dt.date(2020, 1, 4))] == []
    assert list(port.versions("c")) == []


def test_models_are_their_newest_versions_in_the_order_of_the_names_bytes(port: LedgerPort) -> None:
    """Also where a language would order '-' and '_' otherwise; paged by name, and as of an earlier entry."""
    names = ["a_b", "aa", "a-b", "a.b", "b"]
    append(port, *(registered(1, 1, name) for name in names))
    append(port, registered(2, 2, "aa"), registered(3, 3, "aa"))
    assert [(row.name, row.version) for row in port.models()] == [
        ("a-b", 1), ("a.b", 1), ("a_b", 1), ("aa", 3), ("b", 1),
    ]  # fmt: skip
    assert [row.name for row in port.models(after="a.b", limit=2)] == ["a_b", "aa"]
    assert [row.version for row in port.models(containing="aa", before=6)] == [2]
    assert [row.name for row in port.models(containing="_")] == ["a_b"]
    assert [row.name for row in port.models(before=2)] == ["a_b", "aa"]
    assert (port.count_models(), port.count_models(containing="b"), port.count_models(before=1)) == (5, 4, 1)
    assert list(port.models(containing="%")) == []


def test_more_models_than_a_page_are_listed_completely(port: LedgerPort) -> None:
    append(port, *(registered(number, 1, f"m{number:04}") for number in range(1003)))
    assert [row.name for row in port.models()] == [f"m{number:04}" for number in range(1003)]
    assert port.count_models() == 1003


def test_dated_versions_begin_with_the_latest_date_and_of_one_date_with_the_newest(port: LedgerPort) -> None:
    days = [dt.date(2020, 1, day) for day in (3, 1, 3, 2)]
    append(port, *(registered(n, n + 1, as_of=day) for n, day in enumerate(days)))
    append(port, registered(8, 5, as_of=None, recipe=None), registered(9, 1, "other"))
    assert [row.version for row in port.dated("volatility")] == [3, 1, 4, 2]
    assert [row.version for row in port.dated("volatility", later_than=dt.date(2020, 1, 1))] == [3, 1, 4]
    assert [row.version for row in port.dated("volatility", before=2)] == [1, 2]
    assert list(port.dated("nothing")) == []


def test_entries_that_mention_a_text_come_newest_first(port: LedgerPort) -> None:
    """The text is bytes as they are, so a percent sign or a backslash in it means itself."""
    append(port, registered(1, 1, "a"), refused(1), registered(2, 1, "b"), registered(3, 2, "a"))
    mark = b'"name":"a"'
    assert [entry.index for entry in port.mentioning(mark)] == [3, 0]
    assert [entry.index for entry in port.mentioning(mark, before=3)] == [0]
    assert next(port.mentioning(mark)) == next(port.read(3))
    assert list(port.mentioning(b'"name":"%"')) == list(port.mentioning(b"\\")) == []


def test_a_version_is_found_by_number_and_by_its_first_model_id(port: LedgerPort) -> None:
    twin = registered(1, 2, recipe=None, as_of=None)
    written = append(port, registered(1, 1), twin)
    assert port.version("volatility", 2) == written.versions[1]
    assert port.version("volatility", 3) is None
    assert port.by_model_id(twin.model_id) == written.versions[0]
    assert written.versions[1].recipe is None
    assert written.versions[1].as_of is None


def test_checkpoints_are_kept_in_the_order_of_sizes_and_once(port: LedgerPort) -> None:
    notes = [StoredCheckpoint(size, f"note {size}".encode()) for size in (5, 1, 3)]
    for note in [*notes, notes[1]]:
        port.add_checkpoint(note)
    assert [note.size for note in port.checkpoints()] == [1, 3, 5]
    assert port.last_checkpoint() == notes[0]
    with pytest.raises(LedgerConflict):
        port.add_checkpoint(StoredCheckpoint(3, b"another note"))
    assert list(port.checkpoints()) == sorted(notes, key=lambda note: note.size)


def test_readers_do_not_stop_a_writer_while_they_wait(port: LedgerPort) -> None:
    append(port, *(refused(number) for number in range(3)))
    reader = port.read(0)
    next(reader)
    append(port, refused(3))
    assert len(list(reader)) >= 2


def test_of_racing_appends_one_wins_and_the_others_conflict(reopen: Callable[[], AdoptingLedgerPort]) -> None:
    ports = [reopen() for _ in range(8)]
    batches = [batch_of(port, registered(number, 1)) for number, port in enumerate(ports)]

    def race(number: int) -> bool:
        try:
            ports[number].append(0, batches[number])
        except LedgerConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    assert sum(won) == 1
    assert tuple(reopen().read(0)) == batches[won.index(True)].entries


def test_a_sound_store_finds_nothing_wrong_with_itself(port: LedgerPort) -> None:
    append(port, refused(1), registered(1, 1))
    assert list(port.self_check()) == []


ORIGIN = f"veritasvault/ledger/{'0a' * 16}"
NOTE = StoredCheckpoint(2, b"note")


def written_elsewhere(*events: DomainEvent) -> Batch:
    """What another, empty ledger wrote for these events."""
    return append(FakeLedger(), *events)


def test_an_empty_place_adopts_a_ledger_with_its_name_and_checkpoints(
    reopen: Callable[[], AdoptingLedgerPort],
) -> None:
    """All is there afterwards, for others too, and appending goes on from there."""
    batch = written_elsewhere(refused(1), registered(1, 1))
    assert reopen().existing_origin() is None
    reopen().adopt(ORIGIN, 0, [batch], [NOTE])
    port = reopen()
    assert (port.origin(), port.existing_origin(), port.size()) == (ORIGIN, ORIGIN, 2)
    assert tuple(port.read(0)) == batch.entries
    assert tuple(port.all_nodes()) == batch.nodes
    assert tuple(port.versions()) == batch.versions
    assert list(port.checkpoints()) == [NOTE]
    more = append(port, refused(2))
    assert tuple(reopen().read(2)) == more.entries


def test_an_adopted_ledger_adopts_what_follows(port: AdoptingLedgerPort) -> None:
    first, source = refused(1), FakeLedger()
    batches = [append(source, event) for event in (first, registered(1, 1), registered(2, 2))]
    port.adopt(source.origin(), 0, batches[:1], [])
    port.adopt(source.origin(), 1, batches[1:], [StoredCheckpoint(3, b"note")])
    assert tuple(port.read(0)) == tuple(source.read(0))
    assert tuple(port.all_nodes()) == tuple(source.all_nodes())
    assert [row.version for row in port.versions()] == [2, 1]


@pytest.mark.parametrize("refusal", ["origin", "size", "key", "checkpoint"])
def test_what_does_not_continue_the_ledger_is_a_conflict_and_writes_nothing(
    reopen: Callable[[], AdoptingLedgerPort], refusal: str
) -> None:
    port = reopen()
    written = append(port, refused(1))
    port.add_checkpoint(StoredCheckpoint(1, b"its own"))
    event = refused(1) if refusal == "key" else refused(2)
    with pytest.raises(LedgerConflict):
        port.adopt(
            ORIGIN if refusal == "origin" else port.origin(),
            0 if refusal == "size" else 1,
            [batch_of(port, event)],
            [StoredCheckpoint(1, b"note") if refusal == "checkpoint" else NOTE],
        )
    assert tuple(reopen().read(0)) == written.entries
    assert list(reopen().checkpoints()) == [StoredCheckpoint(1, b"its own")]


def test_an_adoption_that_fails_on_the_way_leaves_no_ledger(
    reopen: Callable[[], AdoptingLedgerPort],
) -> None:
    """Neither entries nor a name: the place is as empty as before, and adopts another ledger."""

    def batches() -> Iterator[Batch]:
        yield written_elsewhere(refused(1), registered(1, 1))
        raise IntegrityError("the source is damaged")

    with pytest.raises(IntegrityError, match="the source is damaged"):
        reopen().adopt(ORIGIN, 0, batches(), [NOTE])
    assert reopen().existing_origin() is None
    assert reopen().size() == 0
    assert list(reopen().checkpoints()) == []
    other = ORIGIN.replace("0a", "0b")
    reopen().adopt(other, 0, [written_elsewhere(refused(2))], [])
    assert reopen().origin() == other


def test_a_place_that_others_made_a_ledger_meanwhile_adopts_no_other(
    reopen: Callable[[], AdoptingLedgerPort],
) -> None:
    mover, other = reopen(), reopen()
    assert mover.existing_origin() is None
    name = other.origin()
    with pytest.raises(LedgerConflict):
        mover.adopt(ORIGIN, 0, [written_elsewhere(refused(1))], [])
    assert (reopen().origin(), reopen().size()) == (name, 0)

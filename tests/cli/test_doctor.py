"""The doctor names what is wrong and how to mend it, and is well when nothing is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.console import Console

ALL = [
    "python", "settings", "home", "registry", "ledger", "keys", "witnesses", "identity", "champions",
    "policy", "alerts", "snapshots", "blocks", "tracking", "dask", "spark", "ray", "packages",
    "lock", "airflow database",
]  # fmt: skip
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that nobody listens on: bound, so that nobody else takes it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_a_home_that_is_well_is_healthy(console: Console) -> None:
    answer = console.run("doctor", "--json").document
    assert answer["healthy"]
    assert [check["name"] for check in answer["checks"]] == ALL
    assert all(set(check) == {"name", "status", "detail", "remedy"} for check in answer["checks"])
    assert "size 5, 0 not signed" in next(c["detail"] for c in answer["checks"] if c["name"] == "ledger")


def test_looking_at_an_empty_home_makes_nothing(empty: Console) -> None:
    text = empty.run("doctor").out
    assert "the first registration makes it" in text
    assert "0 fail" in text
    assert not empty.home.exists()


def test_servers_that_do_not_answer_are_failures_with_remedies(empty: Console, closed_port: int) -> None:
    address = f"127.0.0.1:{closed_port}"
    settings = {
        "VERITAS_DASK": f"tcp://{address}",
        "VERITAS_SPARK": f"spark://{address}",
        "VERITAS_RAY": f"ray://{address}",
        "VERITAS_TRACKING": f"http://{address}",
        "VERITAS_REGISTRY": "s3://models",
        "VERITAS_S3_ENDPOINT": f"http://{address}",
        "VERITAS_SNAPSHOTS_REMOTE": "s3://snapshots",
        "VERITAS_BLOCKS": "s3://blocks/here",
        "VERITAS_LEDGER": f"postgresql://u:secret@{address}/d",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://u:secret@{address}/d",
    }
    found = _checks(Console(empty.home, empty.directory, settings))
    for name in (
        "dask", "spark", "ray", "tracking", "registry", "snapshots", "blocks", "ledger", "keys",
        "airflow database"
    ):  # fmt: skip
        assert found[name]["status"] == "fail", found[name]
        assert found[name]["remedy"]
        assert "secret" not in str(found[name])


def test_servers_that_answer_are_well(empty: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = {
            "VERITAS_DASK": f"tcp://{address}",
            "VERITAS_SPARK": f"sc://{address}",
            "VERITAS_RAY": f"ray://{address}",
            "VERITAS_TRACKING": f"http://{address}",
        }
        answer = Console(empty.home, empty.directory, settings).run("doctor", "--json").document
    found = {check["name"]: check["status"] for check in answer["checks"]}
    assert [found[name] for name in ("dask", "spark", "ray", "tracking")] == ["ok"] * 4


@pytest.mark.parametrize(
    ("url", "status", "expected"),
    [
        ("sqlite:////tmp/airflow.db", "warn", "backfills break"),
        ("postgresql://u:secret@h/d", "fail", "psycopg 3"),
        ("postgresql+nodriver://u:secret@h/d", "fail", "u:***@h"),
        ("nonsense", "fail", "nonsense"),
    ],
)
def test_an_airflow_database_that_will_not_do_is_named(
    empty: Console, url: str, status: str, expected: str
) -> None:
    settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    found = _checks(Console(empty.home, empty.directory, settings), code=None)["airflow database"]
    assert found["status"] == status
    assert expected in found["detail"]
    assert "secret" not in str(found)


def test_no_java_is_a_warning_because_dask_is_the_default(empty: Console) -> None:
    found = _checks(Console(empty.home, empty.directory, {"JAVA_HOME": "/nonexistent"}), code=0)["spark"]
    assert found["status"] == "warn"
    assert "install Java 17" in found["remedy"]


def test_a_wrong_setting_is_a_failed_check_and_not_an_error(empty: Console) -> None:
    found = _checks(Console(empty.home, empty.directory, {"VERITAS_REGISTRY": "ftp://x"}))["settings"]
    assert "VERITAS_REGISTRY is 'ftp://x'" in found["detail"]


def test_a_key_that_others_can_read_is_a_failure(console: Console) -> None:
    key = console.home / "keys" / "signing-key.pem"
    key.chmod(0o644)
    assert _checks(console)["keys"]["remedy"] == f"chmod 600 {key}"


def test_a_damaged_ledger_is_a_failed_check(console: Console) -> None:
    console.ledger.write_bytes(b"not a database " * 1000)
    found = _checks(console)
    assert found["ledger"]["status"] == "fail"
    assert "is damaged" in found["ledger"]["detail"]
    assert found["home"]["status"] == "ok"


@pytest.mark.parametrize(
    ("notifiers", "expected"),
    [
        ("[[notifier]]\nclass = 'nowhere.Notifier'", "'nowhere.Notifier': give the path of a class"),
        ("[[notifier]]\nclass = 'pathlib.Path'", "'pathlib.Path': give the class of a notifier"),
        (
            f"[[notifier]]\nclass = '{SMTP}'\nwhom = 'tea@b.c'",
            "it does not take the arguments given (whom), correct them",
        ),
        ("[notifier]\nclass = 'a.B'", "write a table [[notifier]] for each"),
        ("[[notifier]]\nto = 'a@b.c'", "VERITAS_ALERTS.notifier.class is None"),
        ("to: a", "it is not TOML"),
    ],
)
def test_a_notifier_that_could_tell_nobody_is_a_failure(
    empty: Console, notifiers: str, expected: str
) -> None:
    """It is found before anything has to be told; what stands among the arguments is not shown."""
    file = empty.directory / "alerts.toml"
    file.write_text(notifiers)
    check = _checks(Console(empty.home, empty.directory, {"VERITAS_ALERTS": str(file)}))["alerts"]
    assert check["status"] == "fail"
    assert expected in check["detail"]
    assert "tea@b.c" not in str(check)


def test_notifiers_that_can_be_made_are_named(console: Console) -> None:
    (console.home / "alerts.toml").write_text(f"[[notifier]]\nclass = '{SMTP}'\nto = ['risk@example.com']\n")
    check = _checks(console, code=0)["alerts"]
    assert (check["status"], check["detail"]) == ("ok", f"failures of audits are told by {SMTP}")


def _checks(console: Console, code: int | None = 1) -> dict[str, Any]:
    document = console.run("doctor", "--json", code=code).document
    return {check["name"]: check for check in document["checks"]}


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return

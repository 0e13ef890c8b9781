"""Raw data by URI: the bytes behind it, or one sentence on what is wrong."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from domain.registry.canonical import digest
from domain.registry.errors import InvalidInput, NotFound, Unavailable
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.dvc_snapshot import DvcSnapshots
from veritasvault.adapters.uri_source import UriSource
from veritasvault.source_address import PATTERN, require_open

CSV = b"asset,date,close\nA,2020-01-01,1.5\nA,2020-01-02,1.6\n"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "prices.parquet"
    pl.read_csv(CSV, try_parse_dates=True).write_parquet(path)
    return path


def test_the_sample_is_exactly_the_panel_that_skfolio_loads(tmp_path: Path) -> None:
    from skfolio.datasets import load_sp500_dataset

    wide = load_sp500_dataset()
    found = pl.read_parquet(UriSource().fetch("sample://sp500", tmp_path))
    assert found.columns == ["asset", "date", "close"]
    assert found.height == wide.size == 20 * 8313
    again = found.pivot(on="asset", index="date", values="close").sort("date")
    assert again.columns[1:] == list(wide.columns)
    assert again["date"].to_list() == [stamp.date() for stamp in wide.index]
    assert (again.drop("date").to_numpy() == wide.to_numpy()).all()


def test_the_sample_has_the_same_bytes_every_time_and_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, hashlib\n"
        "from veritasvault.adapters.uri_source import UriSource\n"
        "path = UriSource().fetch('sample://sp500', pathlib.Path(sys.argv[1]))\n"
        "heavy = {'skfolio', 'pandas', 'sklearn', 'boto3', 'dvc'} & set(sys.modules)\n"
        "print(hashlib.sha256(path.read_bytes()).hexdigest(), sorted(heavy))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / name)], capture_output=True, text=True, check=True
        ).stdout
        for name in ("one", "two")
    }
    assert len(outputs) == 1
    assert outputs.pop().split(maxsplit=1)[1].strip() == "[]"


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_file_is_copied_byte_for_byte(form: str, parquet: Path, tmp_path: Path) -> None:
    fetched = UriSource().fetch(form.format(parquet), tmp_path / "to")
    assert fetched == tmp_path / "to" / "prices.parquet"
    assert fetched.read_bytes() == parquet.read_bytes()
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["prices.parquet"]


def test_a_relative_path_and_an_escaped_file_uri_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my prices:1.csv").write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    for uri in ("my prices:1.csv", (tmp_path / "my prices:1.csv").as_uri()):
        assert UriSource().fetch(uri, tmp_path / "to").read_bytes() == CSV


def test_a_packed_csv_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(CSV))
    fetched = UriSource().fetch(str(tmp_path / "prices.csv.gz"), tmp_path / "to")
    assert fetched.name == "prices.csv"
    assert fetched.read_bytes() == CSV


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("ftp://host/prices.csv", r"source is 'ftp://host/prices.csv': no such scheme, use sample://sp500"),
        ("https://host/prices.csv", "no such scheme"),
        ("gs:prices.csv", "no such scheme"),
        ("", r"name a file"),
        ("/nowhere/prices.csv", r"name a file that can be read \(No such file or directory\)"),
        ("nowhere.parquet", "name a file that can be read"),
        ("prices.xlsx", r"name a file that ends in .parquet, .csv, .csv.gz"),
        ("bad\0name.csv", "remove control characters"),
        ("file://elsewhere/prices.csv", "write file:///path"),
        ("sample://nasdaq", "use sample://sp500 or sample://vault_flows/SEED, the samples there are"),
        ("sample://vault_flows/", "a whole number below 2\\*\\*32, such as sample://vault_flows/7"),
        ("sample://vault_flows/-1", "a whole number below"),
        ("sample://vault_flows/4294967296", "a whole number below"),
        ("sample://vault_flows/\u0667", "a whole number below"),
        ("s3://bucket", "write s3://bucket/key"),
        ("s3:///key.csv", "write s3://bucket/key"),
        ("snapshot:123", "give a SHA-256 digest"),
    ],
)
def test_a_wrong_uri_gets_one_sentence_and_leaves_nothing(uri: str, sentence: str, tmp_path: Path) -> None:
    source = UriSource(DvcSnapshots(tmp_path / "snapshots"))
    with pytest.raises(InvalidInput, match=sentence) as caught:
        source.fetch(uri, tmp_path / "to")
    assert caught.value.field == "source"
    assert list((tmp_path / "to").glob("*")) == []


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.parquet", CSV, "give a Parquet file, it does not begin as one"),
        ("a.csv", b"PAR1\0\0\0", "it holds binary data"),
        ("a.csv", b"", "give a file that is not empty"),
        ("a.csv.gz", CSV, "give a complete gzip file"),
        ("a.csv.gz", gzip.compress(CSV * 100, mtime=0)[:-20], "give a complete gzip file"),
    ],
)
def test_content_that_is_not_what_its_name_says_is_refused(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        UriSource().fetch(str(tmp_path / name), tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="name a file, this is a directory"):
        UriSource().fetch(str(tmp_path), tmp_path / "to")


def test_a_destination_that_cannot_be_written_is_unavailable(parquet: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for uri in (str(parquet), "sample://sp500"):
        with pytest.raises(Unavailable, match="cannot be written"):
            UriSource().fetch(uri, tmp_path / "file" / "to")


def test_a_full_disk_is_unavailable_and_leaves_nothing(parquet: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes writes fail as a full disk does, in a process of its own."""
    script = (
        "import resource, signal, sys, pathlib\n"
        "from veritasvault.adapters.uri_source import UriSource\n"
        "from domain.registry.errors import Unavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "for uri in sys.argv[1:3]:\n"
        "    try: UriSource().fetch(uri, pathlib.Path(sys.argv[3]))\n"
        "    except Unavailable as error: print(error)\n"
    )
    to = tmp_path / "to"
    run = subprocess.run(
        [sys.executable, "-c", script, str(parquet), "sample://sp500", str(to)],
        capture_output=True,
        text=True,
    )
    assert run.stdout.count("cannot be written") == 2, run.stderr
    assert list(to.iterdir()) == []


def test_a_snapshot_is_fetched_by_its_digest(parquet: Path, tmp_path: Path) -> None:
    snapshots = DvcSnapshots(tmp_path / "snapshots")
    kept = snapshots.snapshot(parquet)
    fetched = UriSource(snapshots).fetch(f"snapshot:{kept.sha256}", tmp_path / "to")
    assert fetched.suffix == ".parquet"
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == kept.sha256
    with pytest.raises(NotFound, match="is not kept in"):
        UriSource(snapshots).fetch(f"snapshot:{digest(b'another')}", tmp_path / "to")


def test_without_a_snapshot_store_a_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="configure a snapshot store"):
        UriSource().fetch(f"snapshot:{digest(b'')}", tmp_path)


def test_only_files_and_objects_grow() -> None:
    source = UriSource()
    assert [source.grows(uri) for uri in ("sample://sp500", f"snapshot:{digest(b'')}")] == [False, False]
    assert [source.grows(uri) for uri in ("a.csv", "file:///a.csv", "s3://b/a.csv")] == [True, True, True]


@pytest.fixture
def s3_source(s3_server: S3Server) -> UriSource:
    return UriSource(
        endpoint_url=s3_server.endpoint, access_key=s3_server.access_key, secret_key=s3_server.secret_key
    )


def test_an_s3_object_is_copied_byte_for_byte(
    s3_server: S3Server, s3_source: UriSource, parquet: Path, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    s3_server.client().upload_file(str(parquet), bucket, "a/b/prices.parquet")
    fetched = s3_source.fetch(f"s3://{bucket}/a/b/prices.parquet", tmp_path / "to")
    assert fetched.read_bytes() == parquet.read_bytes()


def test_a_missing_object_and_a_missing_bucket_are_told_apart(
    s3_server: S3Server, s3_source: UriSource, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    with pytest.raises(InvalidInput, match=rf"name an object that exists, s3://{bucket} has no a.csv"):
        s3_source.fetch(f"s3://{bucket}/a.csv", tmp_path)
    with pytest.raises(InvalidInput, match="there is no such bucket"):
        s3_source.fetch("s3://no-such-bucket-here/a.csv", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wrong_keys_are_refused_and_a_server_that_is_away_is_unavailable(
    s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = s3_server.make_bucket()
    wrong = UriSource(endpoint_url=s3_server.endpoint, access_key=s3_server.access_key, secret_key="wrong")
    with pytest.raises(InvalidInput, match="credentials"):
        wrong.fetch(f"s3://{bucket}/a.csv", tmp_path)
    away = UriSource(endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b")
    with pytest.raises(Unavailable, match=r"Could not connect|cannot be reached"):
        away.fetch(f"s3://{bucket}/a.csv", tmp_path)


def test_s3_credentials_come_from_an_airflow_connection(
    s3_server: S3Server, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MARKET_DATA",
        f'{{"conn_type": "aws", "login": "{s3_server.access_key}", "password": "{s3_server.secret_key}",'
        f' "extra": {{"endpoint_url": "{s3_server.endpoint}", "region_name": "us-east-1"}}}}',
    )
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    bucket = s3_server.make_bucket()
    s3_server.client().upload_file(str(parquet), bucket, "prices.parquet")
    fetched = UriSource(aws_connection="market_data").fetch(f"s3://{bucket}/prices.parquet", tmp_path / "to")
    assert fetched.read_bytes() == parquet.read_bytes()
    with pytest.raises(
        InvalidInput, match="aws_connection is 'no_such': add or correct the Airflow connection"
    ):
        UriSource(aws_connection="no_such").fetch(f"s3://{bucket}/prices.parquet", tmp_path / "to")


@pytest.mark.parametrize(
    ("uri", "refused"),
    [
        ("https://u:planted@host/prices.csv", True),
        ("s3://key:plan/ted@bucket/prices.csv", True),
        ("https://plan/ted@host/prices.csv", True),
        ("s3://key@bucket/prices.csv", True),
        ("https://bucket.host/prices.csv?X-Amz-Signature=planted", True),
        ("file:///data/prices.csv?token=planted", True),
        ("s3://bucket/at@noon.csv", False),
        ("sample://sp500", False),
        ("/data/what?.csv", False),
        ("snapshot:0123", False),
        ("{as_of}/prices.csv", False),
    ],
)
def test_a_source_with_a_secret_is_refused_by_the_form_and_by_the_adapter(uri: str, refused: bool) -> None:
    """Sources are recorded; the form's pattern and the adapter agree on which may not be."""
    assert (re.search(PATTERN, uri) is None) == refused
    if not refused:
        require_open("source", uri)
        return
    with pytest.raises(InvalidInput, match="take user, password and signature out") as e:
        UriSource().fetch(uri, Path("/nowhere"))
    assert "plan" not in str(e.value)

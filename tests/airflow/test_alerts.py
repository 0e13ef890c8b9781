"""People are told of failures by whatever notifiers a file names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from domain.registry.errors import InvalidInput
from veritasvault.tasks.alerts import alerts

NOTIFIERS = """
from pathlib import Path
from airflow.sdk import BaseNotifier

class ToFile(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, file, text):
        super().__init__()
        self.file, self.text = file, text

    def notify(self, context):
        Path(self.file).write_text(self.text)

class Broken(BaseNotifier):
    def notify(self, context):
        raise OSError("the mail server is away")
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of notifiers, in an installation that has two kinds."""
    (tmp_path / "house_notifiers.py").write_text(NOTIFIERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("VERITAS_HOME", str(tmp_path))
    return tmp_path / "alerts.toml"


def test_each_notifier_is_told_the_reason_whatever_becomes_of_the_others(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = json.dumps(str(file.with_name("told")))
    file.write_text(
        "[[notifier]]\nclass = 'house_notifiers.Broken'\n"
        f"[[notifier]]\nclass = 'house_notifiers.ToFile'\nfile = {told}\ntext = '{{{{ reason }}}}'\n"
    )
    (call,) = alerts()
    call({"exception": ValueError("file a of m@1: it is {{ missing }}")})
    assert file.with_name("told").read_text() == "file a of m@1: it is {{ missing }}"
    assert "house_notifiers.Broken did not tell anybody" in caplog.text
    call({"reason": "task_failure"})
    assert file.with_name("told").read_text() == "task_failure"


def test_without_a_file_the_log_says_that_nobody_is_told(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (call,) = alerts()
    with caplog.at_level(logging.WARNING):
        call({"exception": ValueError("broken")})
    assert f"nobody is told of this failure: {file} names no notifier" in caplog.text


def test_a_file_that_cannot_be_used_is_an_error_when_the_dag_is_read(file: Path) -> None:
    file.write_text("[notifiers]\n")
    with pytest.raises(InvalidInput, match="VERITAS_ALERTS"):
        alerts()

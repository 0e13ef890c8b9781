"""Tells people of failures, by the notifiers of Airflow that `VERITAS_ALERTS` names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from veritasvault.bootstrap import bootstrap
from veritasvault.notifiers import NotifierSetting, read_notifiers

_LOG = logging.getLogger(__name__)


def alerts() -> list[Callable[[Any], None]]:
    """What a DAG, or its `default_args`, takes as `on_failure_callback`.

    In `default_args` it is called where the task failed, so people are told the task's own sentence, and the
    task's log says what became of telling them. As a DAG's own it is called by the DAG processor, once for a
    failed run, which knows no sentence.

    Raises:
        InvalidInput: the file of notifiers cannot be used; Airflow shows the sentence as an import error.
    """
    file = bootstrap().settings.alerts
    read_notifiers(file)
    return [_Alert(file)]


class _Alert:
    """Calls each notifier; templates in its arguments can use `reason`, why it failed, beside Airflow's own.

    Notifiers are imported when they are needed, for a DAG file is read every few seconds.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, context: Any) -> None:
        context["reason"] = str(context.get("exception") or context.get("reason") or "no reason was given")
        settings = read_notifiers(self._file)
        if not settings:
            _LOG.warning("nobody is told of this failure: %s names no notifier", self._file)
        for setting in settings:
            _tell(setting, context)


def _tell(setting: NotifierSetting, context: Any) -> None:
    """Call one notifier; one that fails keeps no other from trying, nor the run from being red."""
    try:
        setting.make()(context)
    except Exception:  # notifiers are of many kinds
        _LOG.exception("%s did not tell anybody", setting.path)
    else:
        _LOG.info("%s was told: %s", setting.path, context["reason"])

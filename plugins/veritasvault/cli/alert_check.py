"""The check of the alerts: whether each notifier that would tell people of a failure can be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veritasvault.cli.checks import Check

if TYPE_CHECKING:
    from veritasvault.bootstrap import Application


def alerts(application: Application) -> Check:
    """Makes each notifier, and calls none. Raises InvalidInput for one that cannot be made."""
    from veritasvault.notifiers import read_notifiers

    file = application.settings.alerts
    settings = read_notifiers(file)
    if not settings:
        told = f"{file} names no notifier, so a failed audit is red in Airflow and nothing more"
        return Check("alerts", "ok", told)
    for setting in settings:
        setting.make()
    names = ", ".join(setting.path for setting in settings)
    return Check("alerts", "ok", f"failures of audits are told by {names}")

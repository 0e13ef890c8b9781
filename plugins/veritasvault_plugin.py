"""The one file of this folder that Airflow executes: registers the plugin, and imports nothing heavy.

Airflow does so in every server and again in task processes, so an import here is paid many times.
"""

import atexit
import gc
from typing import Any, ClassVar

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

# Relative to Airflow's base URL.
_BUNDLE = "veritas/static/console.js"


class VeritasVaultPlugin(AirflowPlugin):  # type: ignore[misc]
    """Puts the console into Airflow's UI; the task adapters are ordinary modules."""

    name = "veritasvault"
    # Both have one name, under which Airflow keeps what the bundle defines: a browser runs a module once.
    react_apps: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Models",
            "bundle_url": _BUNDLE,
            "destination": "nav",
            "url_route": "veritas",
            "nav_top_level": True,
        },
        {"name": "Models", "bundle_url": _BUNDLE, "destination": "dag_run", "url_route": "veritas-run"},
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The console. Made when it is asked for, so that only the API server pays for its imports."""
        from veritasvault.console.app import PREFIX, create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": "veritasvault"}]

    @property
    def timetables(self) -> list[type]:
        """What reads the schedules of DAGs that the DAG processor wrote."""
        from veritasvault.timetables import CronUntil

        return [CronUntil]

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:
        """Let this process end quickly, and preload in the scheduler where `[veritasvault] preload` is on."""
        # Airflow is a million objects, among which an interpreter that ends looks for garbage for seconds.
        atexit.register(gc.freeze)
        if conf.getboolean("veritasvault", "preload", fallback=False):
            from veritasvault.preload import is_scheduler, preload

            if is_scheduler():
                preload()

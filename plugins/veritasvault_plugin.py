"""The one file of this folder that Airflow executes: registers the plugin, and imports nothing heavy.

Airflow does so in every server and again in task processes, so an import here is paid many times.
"""

from airflow.plugins_manager import AirflowPlugin


class VeritasVaultPlugin(AirflowPlugin):  # type: ignore[misc]
    """Names the package in Airflow's list of plugins; its task adapters are ordinary modules."""

    name = "veritasvault"

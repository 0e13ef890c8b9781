"""`python -m veritasvault.airflow_local up` and `… demo`: what `make up` and `make demo` run."""

from __future__ import annotations

import argparse
import sys

from domain.registry.errors import DomainException


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; every foreseen error is one sentence."""
    parser = argparse.ArgumentParser(prog="veritasvault.airflow_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="Airflow with its UI on loopback until Ctrl-C")
    demo = commands.add_parser("demo", help="one run of volatility_forecast, without a server")
    demo.add_argument("--dag", default="volatility_forecast", help="which DAG to run")
    demo.add_argument("--as-of", default="2022-12-28", help="the date the run stands for")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "up":
            from veritasvault.airflow_local.up import run_until_stopped

            return run_until_stopped()
        from veritasvault.airflow_local.demo import run_demo

        return run_demo(chosen.dag, chosen.as_of)
    except DomainException as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

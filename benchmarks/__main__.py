"""`make bench`: every promised ratio, measured side by side in one run; exit code 1 if one is missed."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "registration",
    "registries",
    "ledger",
    "promotion",
    "console",
    "prep",
    "backfill",
    "dag_parse",
    "task_cpu",
    "backfill_scheduler",
)


def main() -> int:
    """Run each benchmark in a process of its own, so that none pays for another's imports or memory."""
    missed = [
        name for name in BENCHMARKS if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode
    ]
    print(f"missed: {', '.join(missed)}" if missed else "every limit holds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

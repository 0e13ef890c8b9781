"""The command is prompt: it imports nothing heavy before it must."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.console import PATIENCE, Console

OURS = {"veritasvault", "domain"}
HELP_MAY_IMPORT = {"click"} | OURS
LIST_MAY_IMPORT = HELP_MAY_IMPORT | {
    "sqlalchemy", "typing_extensions", "cryptography", "_cffi_backend", "rfc8785", "rich"
}  # fmt: skip
NEVER = ("numpy", "polars", "pyarrow", "pandas", "boto3", "airflow", "mlflow", "dask", "pyspark", "pydantic")

_PROBE = """
import sys
before = set(sys.modules)
from veritasvault.cli.app import main
sys.argv = ["veritas", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
import json
# Compiled extensions also make modules that no file stands behind.
loaded = {name for name in set(sys.modules) - before if getattr(sys.modules[name], "__file__", None)}
print(json.dumps([code, sorted({name.partition(".")[0] for name in loaded})]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("--help",), HELP_MAY_IMPORT),
        (("models", "list", "--help"), HELP_MAY_IMPORT),
        (("--version",), HELP_MAY_IMPORT),
        (("models", "list"), LIST_MAY_IMPORT),
        (("models", "list", "--json"), LIST_MAY_IMPORT),
        (("ledger", "show"), LIST_MAY_IMPORT),
        (("verify", "--all"), LIST_MAY_IMPORT),
        (("models", "show", "forecast@1"), LIST_MAY_IMPORT),
    ],
)
def test_a_command_imports_only_what_is_on_its_list(
    console: Console, arguments: tuple[str, ...], allowed: set[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        cwd=console.directory,
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    code, loaded = json.loads(done.stderr)
    assert code == 0
    foreign = set(loaded) - sys.stdlib_module_names - allowed
    assert {name for name in foreign if not name.startswith(("_sysconfigdata", "__editable__"))} == set()
    assert not set(loaded) & set(NEVER)


_FROZEN = """
import atexit, gc, sys
# Registered first, it is told last.
atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))
from veritasvault.cli.app import main
sys.argv = ["veritas", "--version"]
main()
"""


def test_a_command_ends_without_looking_for_garbage(console: Console) -> None:
    """Among what a training imports that takes seconds; exit handlers run, and output is written."""
    done = subprocess.run(
        [sys.executable, "-c", _FROZEN],
        env=console.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.startswith("veritas ")
    assert int(done.stderr) > 1000

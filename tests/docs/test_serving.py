"""docs/serving.md is true: its Python runs, in order, in a service of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.serving.shop import ROWS, Shop

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_examples_run_where_nothing_but_public_keys_is_known(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.register(1)
    shop.promote(1)
    for private in (shop.home / "keys").glob("*.pem"):
        private.unlink()
    examples = "".join(PYTHON.findall(PAGE.read_text())).replace("volatility_forecast", "volatility")
    assert examples.count("model.predict(frame)") == 1
    examples = examples.replace("model.predict(frame)", "print(model.predict(frame).shape)")
    frame = (
        f"import pandas\nframe = pandas.DataFrame({ROWS.tolist()}, columns=['rv_1', 'rv_5', 'leverage'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", frame + examples],
        cwd=tmp_path,
        env={**os.environ, "VERITAS_HOME": str(shop.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "(2,)\n"), done.stderr

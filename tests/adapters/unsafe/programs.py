"""Programs: binaries, scripts, modules, and texts that tools run because of their names."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import dataclasses
import importlib.machinery
import importlib.util
import json
import marshal
import os
import py_compile
import runpy
import shutil
import site
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.adapters.unsafe.case import Load, Unsafe, code, file


def cases() -> Iterator[Unsafe]:
    yield from binaries()
    yield from scripts()
    yield from modules()
    yield from obeyed_by_name()
    yield from documents()


def binaries() -> Iterator[Unsafe]:
    """An ELF program runs; a shared object is called as custom operators are. Both make files when called."""
    touch = shutil.which("touch")
    assert touch, "the tests need coreutils"

    def program(folder: Path, marker: Path) -> None:
        shutil.copy(touch, folder / "predict")
        (folder / "arguments.txt").write_text(str(marker))

    def run(folder: Path) -> object:
        return subprocess.run([folder / "predict", (folder / "arguments.txt").read_text()], check=True)

    def renamed(folder: Path, marker: Path) -> None:
        program(folder, marker)
        (folder / "predict").rename(folder / "weights.safetensors")

    def run_renamed(folder: Path) -> object:
        return subprocess.run(
            [folder / "weights.safetensors", (folder / "arguments.txt").read_text()], check=True
        )

    def library(folder: Path, marker: Path) -> None:
        found = ctypes.util.find_library("c")
        loaded = {
            line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line
        }
        path = next(path for path in sorted(loaded) if Path(path).name == found)
        shutil.copy(path, folder / "custom_ops.so")
        (folder / "arguments.txt").write_text(str(marker))

    def call(folder: Path) -> object:
        operators = ctypes.CDLL(str(folder / "custom_ops.so"))
        return operators.creat((folder / "arguments.txt").read_bytes(), 0o600)

    yield Unsafe("ELF program", program, run, "predict")
    yield Unsafe("ELF program as .safetensors", renamed, run_renamed, "weights.safetensors")
    yield Unsafe("shared object", library, call, "custom_ops.so")


def shell(marker: Path) -> bytes:
    return f"#!/bin/sh\n: > '{marker}'\n".encode()


def execute(name: str) -> Load:
    def load(folder: Path) -> object:
        (folder / name).chmod(0o700)
        return subprocess.run([folder / name], check=True)

    return load


def scripts() -> Iterator[Unsafe]:
    yield file("run.sh", shell, execute("run.sh"))
    for name in ("README.md", "notes.txt", "rows.csv", "config.toml"):
        yield file(name, shell, execute(name), title=f"shell script as {name}")
    yield file(
        "predict.txt",
        lambda marker: f"#!{sys.executable}\n{code(marker)}\n".encode(),
        execute("predict.txt"),
        title="Python script as .txt",
    )


def modules() -> Iterator[Unsafe]:
    def source(marker: Path) -> bytes:
        return code(marker).encode()

    def compiled(marker: Path) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "module.py"
            path.write_text(code(marker))
            made = py_compile.compile(str(path), cfile=str(path.with_suffix(".pyc")), doraise=True)
            return Path(made).read_bytes()

    def import_file(name: str) -> Load:
        def load(folder: Path) -> object:
            spec = importlib.util.spec_from_file_location("loaded", folder / name)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            return spec.loader.exec_module(module)

        return load

    def run_bytecode(folder: Path) -> object:
        return runpy.run_path(str(folder / "model.txt"))

    def unmarshal(folder: Path) -> object:
        content = (folder / "model.data").read_bytes()
        return types.FunctionType(marshal.loads(content), {"__builtins__": __builtins__})()

    def start(folder: Path) -> object:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        return subprocess.run([sys.executable, "-c", ""], env=environment, check=True)

    cached = f"__pycache__/model.{sys.implementation.cache_tag}.pyc"
    yield file("modeling.py", source, import_file("modeling.py"))
    yield file("package/__init__.py", source, import_file("package/__init__.py"))
    yield file("model.pyc", compiled, import_file("model.pyc"))
    yield file(cached, compiled, import_file(cached), title="bytecode in __pycache__")
    yield file("model.txt", compiled, run_bytecode, title="bytecode as .txt")
    yield file(
        "model.data",
        lambda marker: marshal.dumps(compile(code(marker), "payload", "exec")),
        unmarshal,
        title="marshalled code as external data",
    )
    yield file("sitecustomize.py", source, start, title="module that Python imports when it starts")
    yield file(
        "model.pth",
        lambda marker: f"import os; {code(marker)}\n".encode(),
        lambda folder: site.addsitedir(str(folder)),
        title=".pth that runs when Python starts",
    )


def obeyed_by_name() -> Iterator[Unsafe]:
    """Texts of allowed formats that package managers and shells run, because of what they are called."""

    def requirements(folder: Path, marker: Path) -> None:
        outside = marker.parent / "outside"
        outside.mkdir()
        (outside / "setup.py").write_text(code(marker))
        (folder / "requirements.txt").write_text(f"numpy>=2\n-e {outside}\n")

    def install(folder: Path) -> object:
        """What pip does for a local path: run its setup.py."""
        lines = (folder / "requirements.txt").read_text().splitlines()
        place = next(line.removeprefix("-e ") for line in lines if line.startswith("-e "))
        return subprocess.run([sys.executable, "setup.py", "develop"], cwd=place, check=True)

    def package(marker: Path) -> bytes:
        return json.dumps({"name": "model", "scripts": {"preinstall": f": > '{marker}'"}}).encode()

    def npm(folder: Path) -> object:
        """What npm does before it installs a package."""
        scripts = json.loads((folder / "package.json").read_text())["scripts"]
        return subprocess.run(["sh", "-c", scripts["preinstall"]], check=True)

    def hook(folder: Path) -> object:
        """What git does after it checked something out."""
        return subprocess.run(["sh", folder / ".git/hooks/post-checkout"], check=True)

    def profile(folder: Path) -> object:
        return subprocess.run(["sh", "-c", f". '{folder}/.profile.txt'"], check=True)

    yield Unsafe("requirements that install a local path", requirements, install, "requirements.txt")
    yield file("package.json", package, npm, title="package that runs a script when it is installed")
    hooked = file(".git/hooks/post-checkout", shell, hook, title="hook of git")
    yield dataclasses.replace(hooked, culprit=".git")
    yield file(
        ".profile.txt", lambda marker: shell(marker)[10:], profile, title="hidden file that a shell reads"
    )


def documents() -> Iterator[Unsafe]:
    """Documents from which libraries build Python objects."""

    def run_notebook(folder: Path) -> object:
        for cell in json.loads((folder / "train.ipynb").read_text())["cells"]:
            exec("".join(cell["source"]), {})
        return None

    def unsafe_yaml(marker: Path) -> bytes:
        return f"model: !!python/object/apply:builtins.exec [{code(marker)!r}]\n".encode()

    def jsonpickle(marker: Path) -> bytes:
        return json.dumps(
            {"py/reduce": [{"py/function": "builtins.exec"}, {"py/tuple": [code(marker)]}]}
        ).encode()

    def unjsonpickle(folder: Path) -> object:
        """What jsonpickle.decode does with 'py/reduce'."""
        function, arguments = json.loads((folder / "model.json").read_text())["py/reduce"]
        module, _, name = function["py/function"].rpartition(".")
        return getattr(importlib.import_module(module), name)(*arguments["py/tuple"])

    yield file(
        "train.ipynb",
        lambda marker: json.dumps({"cells": [{"cell_type": "code", "source": [code(marker)]}]}).encode(),
        run_notebook,
    )
    yield file(
        "config.yaml", unsafe_yaml, lambda folder: yaml.unsafe_load((folder / "config.yaml").read_text())
    )
    yield file("model.json", jsonpickle, unjsonpickle, title="JSON of jsonpickle")
    yield file(
        "config.json", keras_config, load_keras_json("config.json"), title="Keras configuration with a Lambda"
    )


def keras_config(marker: Path) -> bytes:
    """A model as Keras describes it in JSON, whose Lambda layer has marshalled code."""
    body = compile(code(marker), "payload", "exec")
    encoded = base64.b64encode(marshal.dumps(body)).decode()
    function = {"class_name": "__lambda__", "config": {"code": encoded, "defaults": None, "closure": None}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": function}}
    return json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}).encode()


def load_keras_json(name: str) -> Load:
    return lambda folder: run_lambdas(json.loads((folder / name).read_text()))


def run_lambdas(config: Any) -> None:
    """What Keras does to revive a Lambda layer with safe_mode=False: func_load, then a call."""
    if isinstance(config, dict):
        if config.get("class_name") == "__lambda__":
            body = marshal.loads(base64.b64decode(config["config"]["code"]))
            types.FunctionType(body, {"__builtins__": __builtins__})()
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            run_lambdas(each)

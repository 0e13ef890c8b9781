"""Trainers of every framework: same inputs same bytes, formats that open without a pickle, clear refusals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.staging import stage
from domain.risk.problems import FORECAST
from veritasvault.adapters import frameworks, onnx_export
from veritasvault.adapters.format_scanner import FormatScanner
from veritasvault.adapters.frameworks import FRAMEWORKS
from veritasvault.adapters.onnx_log_linear import LogLinear
from veritasvault.adapters.onnx_model import OnnxModel
from veritasvault.adapters.trainers import TRAINERS, trainer
from veritasvault.bootstrap import bootstrap

NAMES = ("rv_5", "rv_21", "momentum_21")
SMALL: dict[str, dict[str, Any]] = {
    "ridge": {},
    "hist_gradient_boosting": {"max_iter": 20, "min_samples_leaf": 20},
    "lightgbm": {"num_iterations": 40, "min_data_in_leaf": 20},
    "torch_sequence": {"hidden": 4, "batch_size": 512},
    "tensorflow_sequence": {"hidden": 4, "batch_size": 512},
}
NATIVE = {
    "LightGBM": {"trees.txt"},
    "PyTorch": {"network.safetensors", "network.json"},
    "TensorFlow": {
        f"saved_model/{name}"
        for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
    },
}
"""What an artifact holds beside its ONNX form."""
ROOT = Path(__file__).parents[2]
ADAPTERS = ROOT / "plugins" / "veritasvault" / "adapters"
FORECASTERS = [name for name in TRAINERS if getattr(trainer(name), "problem", FORECAST) == FORECAST]
trainers = pytest.mark.parametrize("name", FORECASTERS)


def sample(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Two volatilities, a signed feature, and a target that follows from them with noise."""
    random = np.random.default_rng(7)
    volatility = np.exp(random.normal(-1.5, 0.5, rows))
    features = np.column_stack(
        [
            volatility * np.exp(random.normal(0, 0.5, rows)),
            volatility * np.exp(random.normal(0, 0.2, rows)),
            random.normal(0, 0.1, rows),
        ]
    )
    target = volatility * np.exp(random.normal(0, 0.4, rows) - 0.5 * features[:, 2])
    return features, target


def saved(name: str, directory: Path, **parameters: Any) -> Any:
    """Train on the sample, save, and return the model in memory."""
    directory.mkdir(parents=True, exist_ok=True)
    model = trainer(name).train(*sample(), {**SMALL[name], **parameters}, 3, NAMES)
    model.save(directory)
    return model


def digests(directory: Path) -> dict[str, str]:
    """Of each file, by its path below the directory."""
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What new processes save with one and with two threads; each saves all, for imports are what costs."""
    program = (
        "import sys; from pathlib import Path; from tests.adapters.test_trainers import saved\n"
        "for name in sys.argv[2:]: saved(name, Path(sys.argv[1]) / name)"
    )
    made = {}
    for threads in ("1", "2"):
        made[threads] = tmp_path_factory.mktemp(f"threads-{threads}")
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", program, str(made[threads]), *FORECASTERS]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **limits})
    return made


@trainers
def test_new_processes_with_one_and_two_threads_save_the_same_bytes(
    name: str, elsewhere: dict[str, Path], tmp_path: Path
) -> None:
    saved(name, tmp_path)
    for directory in elsewhere.values():
        assert digests(directory / name) == digests(tmp_path)
    native = NATIVE.get(trainer(name).framework, set())
    assert set(digests(tmp_path)) == {"model.onnx", "signature.json", *native}


@trainers
def test_the_layout_of_the_inputs_in_memory_changes_nothing(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path / "rows")
    features, target = sample()
    (tmp_path / "columns").mkdir()
    model = trainer(name).train(np.asfortranarray(features), target[::1], SMALL[name], 3, NAMES)
    model.save(tmp_path / "columns")
    assert digests(tmp_path / "columns") == digests(tmp_path / "rows")


@trainers
def test_onnx_runtime_forecasts_what_the_model_does(name: str, tmp_path: Path) -> None:
    """A session opened on the file alone agrees to the last bits, on rows that training did not see too."""
    model = saved(name, tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    features = np.abs(np.random.default_rng(0).normal(0, 3, (500, 3)))
    features[:50] = 0.0
    (forecasts,) = session.run(["annualised_volatility"], {"features": features})
    assert forecasts.dtype == np.float64
    assert forecasts.shape == (500,)
    np.testing.assert_allclose(forecasts, model.predict(features), rtol=onnx_export.TOLERANCE, atol=0)


@trainers
def test_the_onnx_file_is_valid_and_names_no_time_and_no_version(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    imported = {item.domain: item.version for item in proto.opset_import}
    assert imported == {domain: onnx_export.OPSETS[domain] for domain in imported}
    assert proto.producer_version == proto.doc_string == ""
    assert not proto.metadata_props


@trainers
def test_what_a_trainer_stores_is_of_an_allowed_format(name: str, tmp_path: Path) -> None:
    """Every trainer's artifact passes the scan that each registration makes."""
    saved(name, tmp_path / "artifact")
    with stage(tmp_path / "artifact", tmp_path / "staging") as staged:
        assert FormatScanner().scan(staged) == ()


def test_an_onnx_file_that_forecasts_otherwise_is_not_kept(tmp_path: Path) -> None:
    """The check at saving compares the file's forecasts: a weight that is off by a billionth is found."""
    model = trainer("ridge").train(*sample(), {}, 0, NAMES)
    assert isinstance(model, OnnxModel)
    assert isinstance(model.predictor, LogLinear)
    other = replace(model.predictor, weights=model.predictor.weights * (1 + 1e-9))
    agreement = onnx_export.require_agreement(model.predictor.to_onnx(), model.predictor, model.probes)
    assert (agreement.rows, agreement.difference < 1e-14) == (len(model.probes), True)
    with pytest.raises(IntegrityError, match="cannot be run"):
        onnx_export.require_agreement(b"no model", model.predictor, model.probes)

    class WritesAnother(LogLinear):
        def to_onnx(self) -> bytes:
            return other.to_onnx()

    changed = WritesAnother(**{name: getattr(model.predictor, name) for name in LogLinear.__slots__})
    with pytest.raises(IntegrityError, match=r"model\.onnx forecasts otherwise"):
        replace(model, predictor=changed).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@trainers
def test_the_signature_lists_the_inputs_in_order_with_units(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    signature = json.loads((tmp_path / "signature.json").read_bytes())
    assert signature["file"] == "model.onnx"
    assert signature["input"]["columns"] == list(NAMES)
    assert signature["output"]["unit"] == "annualised decimal"


@trainers
def test_a_model_beats_the_best_constant_on_what_it_learnt_from(name: str, tmp_path: Path) -> None:
    """Forecasts correlate with the target, and their variances have the scale that QLIKE asks for."""
    features, target = sample()
    forecasts = saved(name, tmp_path).predict(features)
    assert np.corrcoef(np.log(forecasts), np.log(target))[0, 1] > 0.6
    assert np.mean(np.square(target / forecasts)) == pytest.approx(1.0, abs=0.05)


@trainers
def test_a_target_and_features_of_zero_give_finite_forecasts(name: str, tmp_path: Path) -> None:
    """Prices that stood still for weeks neither break the logarithms nor blow up the scale."""
    features, target = sample()
    features[:300, :2], target[:300] = 0.0, 0.0
    model = trainer(name).train(features, target, SMALL[name], 0, NAMES)
    model.save(tmp_path)
    forecasts = model.predict(np.vstack([features, np.zeros((1, 3))]))
    assert np.all(np.isfinite(forecasts) & (forecasts > 0) & (forecasts < 10))


@pytest.mark.parametrize("rows", [1, 2])
@trainers
def test_a_single_row_can_be_learnt_from(name: str, rows: int, tmp_path: Path) -> None:
    features, target = sample()
    model = trainer(name).train(features[:rows], target[:rows], {}, 0, NAMES)
    model.save(tmp_path)
    assert np.all(np.isfinite(model.predict(features[:rows])))


@trainers
def test_defaults_lie_within_their_bounds_and_have_help(name: str) -> None:
    for parameter in trainer(name).parameters().values():
        assert parameter.help.endswith(".")
        if parameter.choices:
            assert parameter.default in parameter.choices
            continue
        assert parameter.minimum is not None
        assert parameter.maximum is not None
        assert parameter.minimum <= parameter.default <= parameter.maximum


@pytest.mark.parametrize(
    ("name", "given", "field", "remedy"),
    [
        ("ridge", {"alhpa": 1.0}, "training.parameters.alhpa", "use alpha, floor"),
        ("ridge", {"alpha": "1"}, "training.parameters.alpha", "give a number"),
        ("ridge", {"alpha": True}, "training.parameters.alpha", "give a number"),
        ("ridge", {"alpha": -1.0}, "training.parameters.alpha", "from 0.001 to 1e+06"),
        ("ridge", {"alpha": float("nan")}, "training.parameters.alpha", "give a number"),
        ("hist_gradient_boosting", {"max_iter": 0}, "training.parameters.max_iter", "from 1 to 5000"),
        ("hist_gradient_boosting", {"max_iter": 10.5}, "training.parameters.max_iter", "whole number"),
        ("hist_gradient_boosting", {"alpha": 1.0}, "training.parameters.alpha", "use max_iter"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_value_and_remedy(
    name: str, given: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        trainer(name).train(*sample(), given, 0)
    assert refused.value.field == field
    assert refused.value.value is next(iter(given.values()))
    assert remedy in refused.value.remedy


def test_a_whole_number_may_come_as_a_float_from_a_form() -> None:
    """JSON and forms do not tell 20 from 20.0; both train the same model."""
    features, target = sample()
    given = [
        trainer("hist_gradient_boosting").train(features, target, {"max_iter": n}, 0) for n in (20, 20.0)
    ]
    np.testing.assert_array_equal(given[0].predict(features), given[1].predict(features))


def test_parameters_reach_the_model() -> None:
    features, target = sample()
    for name, changed in (
        ("ridge", {"alpha": 1e5}),
        ("ridge", {"floor": 1.0}),
        ("hist_gradient_boosting", {"learning_rate": 0.5}),
        ("lightgbm", {"learning_rate": 0.5}),
    ):
        usual = trainer(name).train(features, target, SMALL[name], 0).predict(features)
        other = trainer(name).train(features, target, {**SMALL[name], **changed}, 0).predict(features)
        assert not np.allclose(usual, other)


def test_an_unknown_trainer_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=f"use one of {', '.join(TRAINERS)}"):
        trainer("lasso")


def adapters_of(module: str) -> set[str]:
    """Files of the adapters that an adapter imports, and those they import."""
    imported = set(re.findall(r"from veritasvault\.adapters\.(\w+) import", (ADAPTERS / module).read_text()))
    return {module}.union(*(adapters_of(f"{name}.py") for name in imported - {"frameworks"}))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_all_code_that_decides_an_artifact_is_in_the_digest_of_its_sources(framework: str) -> None:
    """And that of another framework is not: adding one leaves the recipes of all others as they are."""
    modules = {type(one).__module__ for one in TRAINERS.values() if one.framework == framework}
    files = [adapters_of(f"{module.rpartition('.')[2]}.py") for module in modules]
    assert set().union(*files) == set(FRAMEWORKS[framework].sources)


@pytest.mark.parametrize("name", [name for name in TRAINERS if FRAMEWORKS[trainer(name).framework].packages])
def test_a_framework_that_is_not_installed_gets_a_sentence_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form needs no framework; a training and its environment say what to install."""
    framework = FRAMEWORKS[trainer(name).framework]

    def version_without(package: str) -> str:
        if package in framework.packages:
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(frameworks, "version", version_without)
    assert trainer(name).parameters()
    said = f"install {framework.packages[0]}, which the extra {framework.extra} has"
    with pytest.raises(InvalidInput, match=said):
        trainer(name).train(*sample(50), {}, 0)
    with pytest.raises(InvalidInput, match=said):
        bootstrap({}).environment(name)
    assert framework.packages[0] not in bootstrap({}).environment("ridge")["packages"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {re.split(r"[>\[]", package)[0] for package in extras[framework.extra]}
    assert set(framework.packages) <= brought


@trainers
def test_inputs_that_are_not_finite_or_do_not_fit_are_refused(name: str) -> None:
    features, target = sample(50)
    hole = features.copy()
    hole[3, 1] = np.nan
    endless = target.copy()
    endless[0] = np.inf
    for wrong in (
        (hole, target, NAMES),
        (features, endless, NAMES),
        (features, -target, NAMES),
        (features, target[1:], NAMES),
        (features[:0], target[:0], NAMES),
        (features, target, NAMES[:2]),
        (features, target, ("a", "a", "b")),
    ):
        with pytest.raises(InvalidInput):
            trainer(name).train(wrong[0], wrong[1], SMALL[name], 0, wrong[2])
    model = trainer(name).train(features, target, {}, 0, NAMES)
    for odd in (hole, features[:, :2]):
        with pytest.raises(InvalidInput, match="features"):
            model.predict(odd)

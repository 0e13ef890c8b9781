"""What the tests of pipelines share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_mlflow(quick_mlflow: None) -> None:
    """Each test of a pipeline has a home of its own, and none is about how MLflow makes its tables."""

"""scikit-learn's own tests of KMeans, DBSCAN, GaussianMixture and NearestNeighbors pass with our classes in place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("package", "module", "at_least"),
    [
        ("cluster", "test_k_means", 100),
        ("cluster", "test_dbscan", 15),
        pytest.param("mixture", "test_gaussian_mixture", 25, marks=pytest.mark.slow),
        pytest.param("neighbors", "test_neighbors", 100, marks=pytest.mark.slow),
    ],
)
def test_sklearn_own_tests_pass_with_our_classes(package, module, at_least, tmp_path, capsys):
    report = tmp_path / "report.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GPUCLUST_CONFORMANCE_REPORT": str(report)}
    environment["SKLEARN_RUN_FLOAT32_TESTS"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "tests.conformance.sklearn_plugin"]
    command += ["--pyargs", f"sklearn.{package}.tests.{module}"]
    run = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False
    )
    assert report.exists(), run.stdout + run.stderr

    summary = json.loads(report.read_text())
    counts, excluded, errors = summary["counts"], summary["excluded"], summary["errors"]
    with capsys.disabled():
        print(
            f"\nscikit-learn's {module}.py with gpuclust's classes: {counts.get('passed', 0)} passed, "
            f"{len(errors)} failed, {len(excluded)} excluded"
        )
        for reason, count in Counter(excluded.values()).most_common():
            print(f"  {count:4d} excluded: {reason}")
    assert not errors, "\n\n".join(f"{name}\n{text}" for name, text in errors.items())
    assert counts["passed"] >= at_least

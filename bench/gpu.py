"""``python -m bench --gpu``: cases on a GPU, gpuclust and its peers in turns, with the times of gpuclust's kernels.

As in `bench.timing`, every contender has a process of its own, and in each round each runs once, alone, in an order
that rotates. A turn makes the rows anew on the GPU and frees them, so that a case needs memory for one contender at a
time.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench import gpu_report
from bench.gpu_cases import GpuCase
from bench.gpu_catalog import CASES, KINDS
from bench.recording import recording
from bench.timing import REFUSALS, Measurement, ask, workers

__all__ = ["main"]

NO_GPU = 4  # exit code: resources


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for.

    Returns
    -------
    int
        0; 1 if gpuclust itself failed on a case, 2 if a case or contender does not exist, 4 without a usable GPU.
    """
    parser = argparse.ArgumentParser(prog="python -m bench --gpu", description=__doc__)
    parser.add_argument("--case", action="append", metavar="NAME", help="run only this case (may be repeated)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this contender (repeatable)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each contender (default 5)")
    parser.add_argument("--out", type=Path, help="folder of the results (default: bench/results/<gpu>)")
    parser.add_argument("--check", action="store_true", help="only name the GPU and the folder of its results")
    parser.add_argument("--dry-run", action="store_true", help="tiny cases on the processor: tries the runner")
    parser.add_argument("--list", action="store_true", help="list cases and contenders, run nothing")
    options = parser.parse_args(arguments)

    names = options.case or list(CASES)
    unknown = [name for name in names if name not in CASES]
    unknown += [name for name in options.only if not any(name in kind.peers for kind in KINDS.values())]
    if unknown or options.rounds < 1:
        print(f"no such case or contender: {unknown}; --rounds is positive; see --list", file=sys.stderr)
        return 2
    if options.list:
        print(_listing())
        return 0
    device = gpu_report.device()
    if not options.dry_run and "problem" in device:
        print(f"No GPU to measure: {device['problem']}.\n--dry-run tries the runner without one.", file=sys.stderr)
        return NO_GPU
    if options.out is None and options.dry_run:
        options.out = Path(tempfile.mkdtemp(prefix="gpuclust-bench-"))
    if options.check:
        print(device.get("name", "no GPU"), gpu_report.folder(device, options.out), sep="\n")
        return 0

    failed = False
    for name in names:
        case = CASES[name].tiny() if options.dry_run else CASES[name]
        measurements, kernels = measure(case, options.rounds, tuple(options.only), gpu=not options.dry_run)
        if not measurements:
            print(f"### {case.title}\n\nSKIPPED: takes none of {options.only}\n", flush=True)
            continue
        result = gpu_report.record(case, measurements, kernels, device, dry_run=options.dry_run)
        failed |= any(m.refusal for m in measurements if m.contender.startswith("gpuclust"))
        print(gpu_report.table(result), flush=True)
        gpu_report.write(name, result, options.out)
    print(f"stored: {gpu_report.summary(device, options.out)}")
    return int(failed)


def measure(
    case: GpuCase, rounds: int, only: tuple[str, ...], *, gpu: bool
) -> tuple[list[Measurement], list[dict[str, Any]]]:
    """Run the contenders of ``case`` in turns, then the first one once more with its kernels recorded.

    Returns the measurements in the order of the case, and the `bench.recording.KernelTimes` as dicts.
    """
    measurements = {name: Measurement(name) for name in case.contenders if not only or name in only}
    with workers(list(measurements), _serve, case, gpu) as connections:
        for name, worker in connections.items():
            answer = _answer(worker, "first")
            found = measurements[name]
            found.refusal = answer.get("refusal", "")
            if not found.refusal:
                found.outcome, found.extra_memory = answer["outcome"], answer["memory"]
        turns = [name for name in connections if not measurements[name].refusal]
        for _ in range(rounds):
            for name in turns:
                answer = _answer(connections[name], "timed")
                if "refusal" in answer:
                    measurements[name].refusal = answer["refusal"]
                else:
                    measurements[name].wall.append(answer["wall"])
                    measurements[name].cpu.append(answer["cpu"])
            turns = [name for name in turns[1:] + turns[:1] if not measurements[name].refusal]
    first = case.contenders[0]
    kernels: list[dict[str, Any]] = []
    if gpu and first in measurements and not measurements[first].refusal:
        with workers([first], _serve, case, gpu) as connections:
            kernels = _answer(connections[first], "kernels").get("kernels", [])
    return list(measurements.values()), kernels


def _answer(worker: Connection, what: str) -> dict[str, Any]:
    try:
        return ask(worker, what)
    except (EOFError, BrokenPipeError):
        return {"refusal": "its process died"}


def _serve(connection: Connection, name: str, case: GpuCase, gpu: bool) -> None:
    """A worker: make the rows and run the contender whenever asked."""
    try:
        while True:
            what = connection.recv()
            try:
                answer = _turn(what, name, case, gpu)
            except REFUSALS as error:
                answer = {"refusal": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
            connection.send(answer)
            _free()
    except EOFError:  # the parent is done
        connection.close()


def _turn(what: str, name: str, case: GpuCase, gpu: bool) -> dict[str, Any]:
    contender = case.peers[name]
    with recording() if what == "kernels" else nullcontext() as recorder:
        xp = _arrays(gpu)
        rows = case.rows(xp)
        arguments = case.arguments(rows, contender.place)
        sample = case.sample(rows) if what == "first" else None
        placed = contender.place(rows)
        del rows
        # Untimed: loads libraries and compiled code, fills the pools of memory.
        contender.run(placed, *case.warm_up(arguments), gpu)
        if recorder is not None:
            recorder.times()
            contender.run(placed, *arguments, gpu)
            return {"kernels": [asdict(times) for times in recorder.times()]}
        wall, cpu = time.perf_counter(), time.process_time()
        outcome = contender.run(placed, *arguments, gpu)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if what == "timed":
            return {"wall": wall, "cpu": cpu}
        memory = _in_use(gpu)
        return {"outcome": case.judged(xp, sample, outcome), "memory": memory}


def _arrays(gpu: bool) -> Any:
    if gpu:
        import cupy

        return cupy
    return np


def _in_use(gpu: bool) -> int:
    """Bytes of the GPU in use: the peak, as pools give nothing back; with the rows, and the contexts of all workers."""
    if not gpu:
        return 0
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    return int(total - free)


def _free() -> None:
    """Give the memory of all pools back to the GPU."""
    gc.collect()
    cupy, torch = sys.modules.get("cupy"), sys.modules.get("torch")
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _listing() -> str:
    lines = ["cases:"]
    lines += [f"  {name:18} {case.title}" for name, case in CASES.items()]
    for kind in KINDS.values():
        lines += [f"contenders, {kind.kind}:"]
        lines += [f"  {name:18} {contender.package}; {contender.note}" for name, contender in kind.peers.items()]
    return "\n".join(lines)

"""``python -m bench``: run cases side by side on the processor, print the tables, store the figures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from bench import gpu, readme, report, startup, streaming, timing, together
from bench.cases import Case
from bench.catalog import CASES, KINDS
from bench.data import Unavailable

OTHERS = {
    "streaming": "20M x 32 from disk, max_memory=512MB: peak resident memory",
    "startup": "import, --help, first fit",
    "together": "gpuclust, FAISS, scikit-learn and torch in one process",
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for.

    Returns
    -------
    int
        0; 1 if gpuclust itself failed on a case or found other labels than scikit-learn's DBSCAN, 2 if a case or
        contender does not exist; with --gpu 4 without one.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--gpu" in arguments:
        return gpu.main([argument for argument in arguments if argument != "--gpu"])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="the cases for a GPU instead; has options of its own")
    parser.add_argument("--case", action="append", metavar="NAME", help="run only this case (may be repeated)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this contender (repeatable)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each contender (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of rows and clusters; not stored unless 1")
    parser.add_argument("--threads", type=int, help="threads of every library (default: all cores); not stored")
    parser.add_argument("--folder", help="where the streaming case puts its 2.6 GB file for the time being")
    parser.add_argument("--readme", action="store_true", help="write what is stored into the README, run nothing")
    parser.add_argument("--list", action="store_true", help="list cases and contenders, run nothing")
    options = parser.parse_args(arguments)

    if options.list:
        print(_listing())
        return 0
    if options.readme:
        print(f"written: {readme.update()}")
        return 0
    names = options.case or [*CASES, *OTHERS]
    unknown = [name for name in names if name not in CASES and name not in OTHERS]
    unknown += [name for name in options.only if not any(name in kind.peers for kind in KINDS.values())]
    if unknown or options.rounds < 1 or options.scale <= 0:
        print(f"no such case or contender: {unknown}; --rounds and --scale are positive; see --list", file=sys.stderr)
        return 2
    if options.threads:  # the processes that measure inherit it
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(options.threads)))

    store = options.scale == 1 and not options.threads and not options.only
    failed = False
    for name in names:
        if name == "streaming":
            result = streaming.measure(options.scale, options.folder)
            text = streaming.table(result)
            failed |= not result["same_bits"]
        elif name == "startup":
            result = startup.measure(options.rounds)
            text = startup.table(result)
        elif name == "together":
            result = together.measure(options.rounds)
            text = together.table(result)
        else:
            case = CASES[name].scaled(options.scale) if options.scale != 1 else CASES[name]
            try:
                result = _side_by_side(case, options.rounds, tuple(options.only))
            except Unavailable as missing:
                print(f"### {case.title}\n\nSKIPPED: {missing}\n", flush=True)
                continue
            text = report.table(result)
            failed |= _wrong(result)
        print(text, flush=True)
        if store:
            report.write(name, result)
    if store:
        print(f"stored: {report.summary()}")
    return int(failed)


def _side_by_side(case: Case, rounds: int, only: tuple[str, ...]) -> dict[str, Any]:
    shape, arguments, measurements = timing.measure(case, rounds, only=only)
    return report.record(case, shape, arguments, measurements)


def _wrong(result: dict[str, Any]) -> bool:
    """Whether gpuclust refused the case, or found other labels than scikit-learn where these are to be equal."""
    ours = [entry for name, entry in result["contenders"].items() if "gpuclust" in name]
    return any("refusal" in entry or entry.get("labels_unlike_sklearn") for entry in ours)


def _listing() -> str:
    lines = ["cases:"]
    lines += [f"  {name:18} {case.title}" for name, case in CASES.items()]
    lines += [f"  {name:18} {title}" for name, title in OTHERS.items()]
    for kind in KINDS.values():
        lines += [f"contenders, {kind.kind}:"]
        lines += [f"  {name:18} {contender.package}; {contender.note}" for name, contender in kind.peers.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

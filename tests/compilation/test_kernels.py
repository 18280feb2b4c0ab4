"""Every kernel, in every variant, for every architecture: it compiles, keeps the rules and stays in its budget."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

import gpuclust.engines.cuda
from gpuclust._resources import kernels_folder
from gpuclust.engines.cuda.source import kernel_source
from tests.compilation import budgets, page
from tests.compilation.budgets import excesses
from tests.compilation.compiler import compile_with_nvcc, nvcc
from tests.compilation.cubin import Kernel
from tests.compilation.expectations import unmet
from tests.compilation.measure import measure
from tests.compilation.rules import faults
from tests.compilation.variants import Job, all_jobs, jobs

# The two that differ most: the oldest, without asynchronous copies, and the one whose figures the page shows.
ALWAYS = ("sm_75", page.ARCHITECTURE)

ALL = all_jobs()
BUDGETS = budgets.load()
WRAPPERS = sorted(Path(gpuclust.engines.cuda.__file__).parent.glob("*.py"))
JOBS = [pytest.param(job, id=str(job), marks=[] if job.architecture in ALWAYS else pytest.mark.slow) for job in ALL]


@pytest.fixture(scope="module")
def kernels_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Job], dict[str, Kernel]]]:
    """The kernels of a compilation. Those that this run's tests will ask for are all begun at once."""
    with ThreadPoolExecutor() as pool:
        begin = cache(lambda job: pool.submit(measure, job))
        for item in request.session.items:
            if item.path == request.path and item.originalname == "test_machine_code":
                begin(item.callspec.params["job"])
        yield lambda job: begin(job).result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("job", JOBS)
def test_machine_code(job, kernels_of):
    budget = BUDGETS.get(str(job), {})
    for name, kernel in kernels_of(job).items():
        wrong = faults(job, kernel) + unmet(job, name, kernel) + excesses(job, kernel, budget.get(name))
        assert not wrong, f"{name}: {'; '.join(wrong)}"


def test_every_file_is_compiled():
    assert {job.variant.file for job in ALL} == {path.stem for path in kernels_folder().glob("*.cu")}


def test_no_budget_is_left_of_a_variant_that_is_gone():
    assert BUDGETS.keys() <= set(map(str, ALL))


def test_the_page_shows_the_present_figures(kernels_of):
    _, shown, _ = page.split(page.path().read_text(encoding="utf-8"))
    measured = {job: kernels_of(job) for job in page.jobs_shown()}
    assert shown.splitlines() == page.table(measured), "run `python -m tests.compilation --update`"


def test_the_page_has_a_row_for_every_kernel_and_no_other(kernels_of):
    by_hand, _, _ = page.split(page.path().read_text(encoding="utf-8"))
    described = re.findall(r"^\| `(\w+)` \|", by_hand, re.MULTILINE)
    assert sorted(described) == sorted({name for job in page.jobs_shown() for name in kernels_of(job)})


def test_every_kernel_is_launched_with_its_block(kernels_of):
    compiled = {name: kernel for job in page.jobs_shown() for name, kernel in kernels_of(job).items()}
    found = list(launches())
    assert {name for _, name, _ in found} == set(compiled)
    for module, name, threads in found:
        if not threads.endswith(".threads"):  # a tile's: test_machine_code compares them for every tile
            constants = vars(importlib.import_module(f"gpuclust.engines.cuda.{module}"))
            assert eval(threads, constants) == compiled[name].max_threads, f"{module}: {name}"


def launches() -> Iterator[tuple[str, str, str]]:
    """Module, kernel and expression of the threads of every `kernels.launch(variant, name, grid, threads, ...)`."""
    for path in WRAPPERS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for call in calls(function, "launch"):
                    _, name, _, threads, *_ = call.args
                    for literal in values(tree, function, name):
                        yield path.stem, literal, ast.unparse(threads)


def calls(tree: ast.AST, attribute: str) -> list[ast.Call]:
    """Calls of methods of this name."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [node for node in found if node.func.attr == attribute]


def values(tree: ast.AST, function: ast.FunctionDef, name: ast.expr) -> list[str]:
    """What a name is: itself, or, of a parameter of a method, what the method is called with."""
    if not isinstance(name, ast.Name):
        return [ast.literal_eval(name)]
    place = [argument.arg for argument in function.args.args].index(name.id) - 1
    return [ast.literal_eval(call.args[place]) for call in calls(tree, function.name)]


@pytest.mark.slow
@pytest.mark.skipif(nvcc() is None, reason="no nvcc: users do not need it")
@pytest.mark.parametrize("job", list(jobs(page.ARCHITECTURE)), ids=str)
def test_nvcc_compiles_it_without_a_warning(job):
    assert compile_with_nvcc(kernel_source(job.variant.file), job.variant.options, job.architecture) == ""

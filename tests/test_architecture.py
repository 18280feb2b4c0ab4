"""The layers of the house, enforced on the syntax trees: imports go downward only, heavy libraries stay in their rooms.

Every import statement counts, also relative ones and those inside functions, because a lazy import is a dependency too.
Imports under `if TYPE_CHECKING:` do not run and are exempt.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpuclust

PACKAGE = Path(gpuclust.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Rooms by layer, top first. A module may import from its own room and from lower layers; rooms that share a layer are
# neighbours and do not import each other.
LAYERS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"jobs"},
    {"report", "distributed"},
    {"deep"},
    {"cluster"},
    {"select"},
    {"metrics", "neighbors"},
    {"algorithms", "protocol"},
    {"engines", "sources"},
    {"validation"},
    {"config", "_cancel", "_container", "_resources"},
    {"errors"},
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

# Third-party libraries that only some folders, or files, may import (an empty tuple: nobody). torch tensors are
# accepted elsewhere by their DLPack protocol, without importing torch.
CONFINED: dict[str, tuple[str, ...]] = {
    "cupy": ("engines/cuda",),
    "faiss": ("neighbors",),
    "torch": ("deep",),
    "umap": ("deep/clustering/manifold.py",),
    "dask": ("distributed",),
    "distributed": ("distributed",),
    "pickle": (),
    "cloudpickle": (),
    "dill": (),
    "joblib": (),
}

# `from gpuclust import KMeans` depends on the room that KMeans comes from.
HANDED_OUT = {f"gpuclust.{name}": home.partition(".")[2] for name, home in gpuclust._LAZY.items()}

HEAVY = ["numba", "sklearn", "torch", "pandas", "polars", "pyarrow", "cupy", "faiss", "scipy", "matplotlib"]


def module_name(path: Path, package: Path) -> str:
    parts = ("gpuclust", *path.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of `tree` except what stands under `if TYPE_CHECKING:`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for branch in child.orelse:
                yield from running_nodes(branch)
        else:
            yield from running_nodes(child)


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that `path` imports; `from a import b` gives `a.b`."""
    name = module_name(path, package)
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = parent.split(".")[: len(parent.split(".")) - (node.level - 1)]
                base = ".".join([*anchor, base] if base else anchor)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield node.lineno, str(ast.literal_eval(node.args[0]))  # a computed name hides a dependency: it fails here


def violations(path: Path, package: Path = PACKAGE) -> list[str]:
    relative = path.relative_to(package).as_posix()
    room = relative.split("/")[0].removesuffix(".py")
    found: list[str] = []
    if room == "__init__":  # hands out names of every layer, lazily: the last test below watches it
        return found
    for line, target in imports(path, package):
        top, _, rest = target.partition(".")
        if top in CONFINED and not f"{relative}/".startswith(tuple(f"{place}/" for place in CONFINED[top])):
            found.append(f"{relative}:{line} imports {top}, which only {CONFINED[top] or 'nobody'} may")
        if top != "gpuclust":
            continue
        other = HANDED_OUT.get(target, rest).partition(".")[0]
        if other in RANK and other != room and RANK[other] <= RANK[room]:
            found.append(f"{relative}:{line} imports gpuclust.{other}, which is not below {room}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_downward(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in RANK or room == "__init__", f"{room} has no layer yet: give it one in LAYERS"
    assert violations(path) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_what_the_layer_check_catches(tmp_path: Path) -> None:
    forbidden = {
        "sources/absolute.py": "from gpuclust.engines import get_engine",
        "sources/relative.py": "from ..cluster import KMeans",
        "sources/parent.py": "from .. import algorithms",
        "sources/lazy.py": "def f():\n    import gpuclust.jobs.model",
        "sources/public.py": "from gpuclust import KMeans",
        "sources/by_name.py": "import importlib\nimportlib.import_module('gpuclust.cli')",
        "cluster/tensor.py": "def f():\n    import torch.nn",
        "engines/cpu/gpu.py": "from cupy import RawModule",
        "jobs/model.py": "import pickle",
        "deep/clustering/heads.py": "import umap",
        "errors.py": "from gpuclust import config",
    }
    allowed = {
        "sources/own.py": "from .base import Source\nfrom gpuclust.sources.base import Chunk\nfrom .. import errors",
        "sources/hint.py": "if TYPE_CHECKING:\n    from gpuclust.cluster import KMeans",
        "engines/cuda/launch.py": "import cupy",
        "deep/train.py": "import torch",
        "deep/clustering/manifold.py": "def f():\n    import umap.umap_",
        "cli/main.py": "def f():\n    from gpuclust.jobs import run\n    from gpuclust import KMeans",
    }
    for relative, text in (forbidden | allowed).items():
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        assert len(violations(path, tmp_path)) == (relative in forbidden), relative


def test_public_names_are_exactly_all() -> None:
    estimators = ["Autoencoder", "DBSCAN", "DeepClustering", "GaussianMixture", "KMeans", "MiniBatchKMeans"]
    estimators += ["NearestNeighbors", "VariationalAutoencoder", "XMeans"]
    functions = ["explain", "load_model", "save_model", "stability", "suggest_eps", "suggest_k"]
    assert sorted(gpuclust.__all__) == [*estimators, "__version__", "config", "errors", *functions]
    for name in gpuclust.__all__:
        assert getattr(gpuclust, name) is not None
    assert set(gpuclust.__all__) <= set(dir(gpuclust))
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    machinery = {"Any", "TYPE_CHECKING", "annotations", "import_module"}
    strays = {name for name in vars(gpuclust) if not name.startswith("_")} - set(gpuclust.__all__) - rooms - machinery
    assert strays == set()
    with pytest.raises(AttributeError, match="no attribute 'KMedoids'"):
        gpuclust.KMedoids  # noqa: B018


def test_importing_gpuclust_loads_nothing_heavy() -> None:
    code = "import gpuclust, json, sys; gpuclust.__version__; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)).isdisjoint([*HEAVY, "gpuclust.cluster", "gpuclust.engines", "numpy"])

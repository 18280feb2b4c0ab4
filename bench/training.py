"""Training an autoencoder: so many epochs of one network, judged by the reconstruction error of what comes out.

Beside the trainers stand the matrix products of the same steps and nothing else, forward, and backward for weights and
(but in the first layer) inputs: as torch computes them, which is what a plain loop can come near to, and as oneDNN does
(`gpuclust.deep.linear`), which is the floor of gpuclust's own.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from bench.cases import Case, Contender
from bench.data import Rows, blobs

__all__ = ["BATCH", "CASES", "TrainingCase", "layers", "products"]

BATCH = 256
_RATE = 1e-3


def gpuclust(rows: Rows, widths: Sequence[int], epochs: int) -> float:
    from gpuclust import Autoencoder
    from gpuclust.deep import Architecture

    return Autoencoder(
        widths[-1],
        architecture=Architecture(widths=tuple(widths[1:-1])),
        scaling=None,
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=_RATE,
        device="cpu",
        random_state=0,
    ).fit(rows).history_.losses[-1]  # fmt: skip


def clustpy(rows: Rows, widths: Sequence[int], epochs: int) -> float:
    sys.meta_path.append(_NoTorchvision())
    import torch
    from clustpy.deep.neural_networks import FeedforwardAutoencoder

    model = FeedforwardAutoencoder(list(widths), activation_fn=torch.nn.ReLU, random_state=0)
    model.fit(n_epochs=epochs, batch_size=BATCH, optimizer_params={"lr": _RATE}, data=rows)
    with torch.no_grad():
        x = torch.from_numpy(rows)
        return float((model(x) - x).square().mean())


class _NoTorchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An empty torchvision: ClustPy imports it for images, and none imports beside the torch of constraints.txt."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        ours = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if ours else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class _Empty(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def loop(rows: Rows, widths: Sequence[int], epochs: int) -> float:
    """What ClustPy 0.0.3 does in every step, without the rest of it."""
    import torch

    torch.manual_seed(0)
    x = torch.from_numpy(rows)
    model = layers(widths)
    data = torch.utils.data.TensorDataset(torch.arange(len(x)), x)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    for _ in range(epochs):
        total = 0.0
        for _, batch in loader:
            loss = torch.nn.functional.mse_loss(model(batch), batch)
            total += loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return total / len(loader)


def layers(widths: Sequence[int]) -> Any:
    """The autoencoder as plain layers of torch."""
    from torch import nn

    both = (*widths, *widths[-2::-1])
    linear: list[nn.Module] = []
    for at, (before, after) in enumerate(pairwise(both)):
        linear.append(nn.Linear(before, after))
        if at not in (len(widths) - 2, len(both) - 2):
            linear.append(nn.ReLU())
    return nn.Sequential(*linear)


def products(
    n_rows: int, batch: int, widths: Sequence[int], epochs: int, product: Callable[[Any, Any], Any], **options: Any
) -> None:
    """The matrix products of the steps; ``product(a, b)`` is ``a @ b.T``, ``options`` are those of the tensors."""
    import torch

    n_batches = -(-n_rows // batch)
    size = n_rows // n_batches
    operands = [
        (torch.randn(size, i, **options), torch.randn(o, i, **options), torch.randn(size, o, **options))
        for i, o in pairwise((*widths, *widths[-2::-1]))
    ]
    for _ in range(epochs * n_batches):
        for at, (x, weight, gradient) in enumerate(operands):
            product(x, weight)
            product(gradient.T, x.T)
            if at:
                product(gradient, weight.T)


def torch_products(rows: Rows, widths: Sequence[int], epochs: int) -> None:
    products(len(rows), BATCH, widths, epochs, lambda a, b: a @ b.T)


def onednn_products(rows: Rows, widths: Sequence[int], epochs: int) -> None:
    from gpuclust.deep.linear import linear

    products(len(rows), BATCH, widths, epochs, partial(linear, bias=None))


CONTENDERS = {
    each.name: each
    for each in (
        Contender("gpuclust", "gpuclust", gpuclust, note="from the array to the fitted estimator"),
        Contender("clustpy", "clustpy", clustpy, note="the training alone; pip install --no-deps clustpy"),
        Contender("loop", "torch", loop, note="a loop like ClustPy's"),
        Contender("products", "torch", torch_products, True, "the matrix products alone, by torch"),
        Contender("products-onednn", "torch", onednn_products, True, "the matrix products alone, by oneDNN"),
    )
}


@dataclass(frozen=True, kw_only=True)
class TrainingCase(Case):
    """One benchmark: `epochs` of an autoencoder with layers of these `widths`, codes last."""

    widths: tuple[int, ...]
    epochs: int = 10
    contenders: tuple[str, ...] = tuple(CONTENDERS)

    kind: ClassVar[str] = "training"
    peers: ClassVar[dict[str, Contender]] = CONTENDERS
    headings: ClassVar[tuple[str, ...]] = ("error of the last epoch",)
    footnote: ClassVar[str] = "*: no training. The error is the mean square over values; ClustPy's that of the end."

    def scaled(self, scale: float) -> TrainingCase:
        return replace(self, n_rows=max(2 * BATCH, round(self.n_rows * scale)), epochs=max(1, int(self.epochs * scale)))

    def rows(self) -> Rows:
        rows = super().rows()
        return (rows - rows.min(axis=0)) / np.ptp(rows, axis=0)

    def arguments(self, rows: Rows) -> tuple[Any, ...]:
        return (rows.shape[1], *self.widths), self.epochs

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[:BATCH], arguments[0], 1

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"widths": list(arguments[0]), "epochs": self.epochs, "batch_size": BATCH}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {name: {"error": error} for name, error in outcomes.items()}

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"{'-'.join(map(str, record['widths']))}, {record['epochs']} epochs in batches of {record['batch_size']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        return ("" if entry["error"] is None else f"{entry['error']:.5f}",)


_ALL = [
    TrainingCase(
        name="training-small",
        title="Autoencoder, small network",
        make=partial(blobs, 64, 10),
        n_rows=10_240,
        widths=(256, 128, 10),
    ),
    TrainingCase(
        name="training-large",
        title="Autoencoder, large network",
        make=partial(blobs, 64, 10),
        n_rows=5_120,
        widths=(500, 500, 2000, 10),
        epochs=5,
    ),
]

CASES = {case.name: case for case in _ALL}

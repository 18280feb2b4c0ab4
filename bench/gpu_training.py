"""Training an autoencoder on a GPU, judged by the reconstruction error, beside a bare loop and its matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from bench.gpu_cases import Block, GpuCase, GpuContender, as_it_lies
from bench.training import layers, products

__all__ = ["CASES", "GpuTrainingCase"]

_RATE = 1e-3


def gpuclust(rows: Any, widths: Sequence[int], epochs: int, batch: int, gpu: bool, *, compile: bool = False) -> float:
    from gpuclust import Autoencoder
    from gpuclust.deep import Architecture

    return Autoencoder(
        widths[-1],
        architecture=Architecture(widths=tuple(widths[1:-1])),
        scaling=None,
        epochs=epochs,
        batch_size=batch,
        learning_rate=_RATE,
        compile=compile,
        device="cuda" if gpu else "cpu",
        random_state=0,
    ).fit(rows).history_.losses[-1]  # fmt: skip


def compiled(rows: Any, widths: Sequence[int], epochs: int, batch: int, gpu: bool) -> float:
    return gpuclust(rows, widths, epochs, batch, gpu, compile=gpu)


def loop(rows: Any, widths: Sequence[int], epochs: int, batch: int, gpu: bool) -> float:
    """Rows on the device, shuffled there, bfloat16, fused Adam, and nothing that keeps the device waiting."""
    import torch
    from torch.utils.dlpack import from_dlpack

    torch.manual_seed(0)
    x = from_dlpack(rows)
    model = layers(widths).to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, fused=True)
    total = torch.zeros((), device=x.device)
    for _ in range(epochs):
        total.zero_()
        indices = torch.randperm(len(x), device=x.device).split(batch)
        for index in indices:
            part = x[index]
            with torch.autocast(x.device.type, torch.bfloat16, enabled=gpu):
                loss = torch.nn.functional.mse_loss(model(part), part)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
    return float(total) / len(indices)


def bare_products(rows: Any, widths: Sequence[int], epochs: int, batch: int, gpu: bool) -> float:
    import torch

    options = {"device": "cuda", "dtype": torch.bfloat16} if gpu else {}
    products(len(rows), batch, widths, epochs, lambda a, b: a @ b.T, **options)
    if gpu:
        torch.cuda.synchronize()
    return float("nan")


_PEERS = [
    GpuContender("gpuclust", "gpuclust", gpuclust, as_it_lies, note="from the array to the fitted estimator, bfloat16"),
    GpuContender("gpuclust-compiled", "gpuclust", compiled, as_it_lies, note="compile=True, compilation included"),
    GpuContender("loop", "torch", loop, as_it_lies, note="a bare loop, bfloat16, fused Adam"),
    GpuContender("products", "torch", bare_products, as_it_lies, True, "the matrix products alone, bfloat16"),
]


@dataclass(frozen=True, kw_only=True)
class GpuTrainingCase(GpuCase):
    """One benchmark: `epochs` of an autoencoder with layers of these `widths`, codes last."""

    widths: tuple[int, ...]
    batch: int
    epochs: int = 5
    contenders: tuple[str, ...] = tuple(peer.name for peer in _PEERS)

    kind: ClassVar[str] = "training"
    peers: ClassVar[dict[str, GpuContender]] = {peer.name: peer for peer in _PEERS}
    headings: ClassVar[tuple[str, ...]] = ("million rows/s", "TFLOP/s of products", "error of the last epoch")
    footnote: ClassVar[str] = "*: no training. The error is the mean square over values."

    def tiny(self) -> GpuTrainingCase:
        return replace(self, n_rows=600, epochs=1, batch=256)

    def block(self, xp: Any) -> Block:
        """Values in [0, 1) near a surface of a few dimensions."""
        random = xp.random.default_rng(20)
        mixing = random.standard_normal((self.widths[-1], self.n_features), dtype=np.float32)

        def block(m: int) -> Any:
            return 1 / (1 + xp.exp(-random.standard_normal((m, len(mixing)), dtype=np.float32) @ mixing))

        return block

    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        return (self.n_features, *self.widths), self.epochs, self.batch

    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments[0], 1, arguments[2]

    def sample(self, rows: Any) -> None:
        """Nothing: the errors speak for themselves."""

    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        return {"error": None if np.isnan(outcome) else float(outcome)}

    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        both = (self.n_features, *self.widths)
        sizes = [before * after for before, after in pairwise(both)]
        # Forward and backward for weights in every layer, there and back; for inputs in all but the first.
        per_row = 2 * (6 * sum(sizes) - sizes[0])
        rows = self.n_rows * self.epochs / seconds
        return {"million_rows_per_second": round(rows / 1e6, 3), "product_tflops": round(rows * per_row / 1e12, 3)}

    def setting(self) -> dict[str, Any]:
        return {"widths": [self.n_features, *self.widths], "epochs": self.epochs, "batch_size": self.batch}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_rows, self.n_features, self.widths[-1]

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"{'-'.join(map(str, record['widths']))}, {record['epochs']} epochs in batches of {record['batch_size']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        error = "" if entry["error"] is None else f"{entry['error']:.5f}"
        return f"{entry['million_rows_per_second']:.3g}", f"{entry['product_tflops']:.3g}", error


_ALL = [
    GpuTrainingCase(
        name="training-small",
        title="Autoencoder, small network, 1M x 64",
        n_rows=1_000_000,
        n_features=64,
        widths=(256, 128, 10),
        batch=4096,
    ),
    GpuTrainingCase(
        name="training-large",
        title="Autoencoder, large network, 300k x 784",
        n_rows=300_000,
        n_features=784,
        widths=(500, 500, 2000, 10),
        batch=4096,
    ),
]

CASES = {case.name: case for case in _ALL}

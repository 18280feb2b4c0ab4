"""Training on the CPU: gpuclust's trainer, a loop as ClustPy's, and the matrix products alone, in turns of one process.

``python -m bench.deep [--rounds 5] [--epochs 10]`` prints one line for each network and writes nothing. The peer is a
loop as in ClustPy 0.0.2 (``clustpy/deep``), written here, because ClustPy is not a dependency of the benchmarks: a
`DataLoader` over a `TensorDataset` of (index, row), Adam that is not fused, ``loss.item()`` in every step. The ceiling
is what a step's matrix products take: forward, and backward for weights and (but in the first layer) inputs.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from gpuclust.deep.modalities import Modality
from gpuclust.deep.models import AutoencoderModel, build
from gpuclust.deep.networks import NAMED
from gpuclust.deep.objectives import reconstruction
from gpuclust.deep.rows import Rows
from gpuclust.deep.scaling import fit_scaling, survey
from gpuclust.deep.training import Training, train
from gpuclust.sources import as_source

__all__ = ["clustpy_loop", "main", "products"]

BATCH, LATENT = 256, 10


def network(name: str, d: int) -> AutoencoderModel:
    """A network by name, for rows of d features."""
    return build({"X": Modality(architecture=NAMED[name])}, {"X": d}, LATENT)


def ours(name: str, X: np.ndarray, epochs: int) -> Callable[[], object]:
    """gpuclust's trainer; placing the rows counts."""

    def run() -> object:
        source, modality, widths = as_source(X), {"X": Modality()}, {"X": X.shape[1]}
        cpu = torch.device("cpu")
        scaling = fit_scaling(survey(source, modality, widths, cpu), modality, widths)
        rows = Rows(source, scaling, cpu)
        return train(network(name, X.shape[1]), rows, reconstruction, Training(epochs=epochs, batch_size=BATCH))

    return run


def clustpy_loop(name: str, X: np.ndarray, epochs: int) -> Callable[[], object]:
    """The loop of ClustPy's autoencoders."""

    def run() -> object:
        rows = torch.from_numpy(X / X.max())
        model = network(name, X.shape[1])
        data = torch.utils.data.TensorDataset(torch.arange(len(rows)), rows)
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        square, total = nn.MSELoss(), 0.0
        for _ in range(epochs):
            for _, x in loader:
                loss = square(model.decode(model.encode(x)), x)
                total += loss.item()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return total

    return run


def products(name: str, X: np.ndarray, epochs: int) -> Callable[[], object]:
    """The matrix products of the same training, and nothing else."""
    linear = [layer for layer in network(name, X.shape[1]).modules() if isinstance(layer, nn.Linear)]
    n_steps = epochs * -(-len(X) // BATCH)
    size = len(X) // -(-len(X) // BATCH)
    shapes = [(layer.in_features, layer.out_features) for layer in linear]
    operands = [(torch.randn(size, i), torch.randn(o, i), torch.randn(size, o)) for i, o in shapes]

    def run() -> object:
        out: list[Tensor] = []
        for _ in range(n_steps):
            for first, (x, weight, gradient) in enumerate(operands):
                out = [x @ weight.T, gradient.T @ x]
                if first:
                    out.append(gradient @ weight)
        return out

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=2048)
    options = parser.parse_args()
    X = np.random.default_rng(0).random((options.rows, 64), dtype=np.float32)
    contenders = {"gpuclust": ours, "as ClustPy": clustpy_loop, "products alone": products}
    for name in NAMED:
        runs = {who: make(name, X, options.epochs) for who, make in contenders.items()}
        seconds: dict[str, list[float]] = {who: [] for who in runs}
        for turn in range(options.rounds + 1):
            for who, run in runs.items():
                began = perf_counter()
                run()
                if turn:  # the first one warms up
                    seconds[who].append(perf_counter() - began)
        least = {who: min(times) for who, times in seconds.items()}
        spread = ", ".join(f"{who} {least[who]:.2f} s (median {statistics.median(seconds[who]):.2f})" for who in runs)
        print(
            f"{name}: {spread}; {least['as ClustPy'] / least['gpuclust']:.2f} times as fast as ClustPy's loop, "
            f"{least['products alone'] / least['gpuclust']:.2f} of the ceiling; "
            f"{options.rows * options.epochs / least['gpuclust']:,.0f} rows/s, {torch.get_num_threads()} threads"
        )
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()

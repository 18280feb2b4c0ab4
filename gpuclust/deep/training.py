"""One trainer for every objective: epochs of steps over rows, on any device.

For a seed, the order of rows, every random number and so the result are functions of the number of the epoch: an epoch
draws from generators seeded with (seed, purpose, epoch), and training that goes on from a checkpoint ends with the same
bits. On the CPU the bits also depend on the number of torch's threads, if a step is long enough to use more than one
(`_MOST_ALONE`); on a GPU, atomics may change the last ones.

Nothing is read from the device during an epoch: the terms of the loss are summed there and looked at once at its end.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from gpuclust._cancel import checkpoint as cancel_here
from gpuclust.algorithms.random import purpose_stream
from gpuclust.deep.checkpoint import Checkpoint
from gpuclust.deep.history import Epoch, History
from gpuclust.deep.library import one_thread
from gpuclust.deep.models import AutoencoderModel
from gpuclust.deep.networks import Dropout
from gpuclust.deep.objectives import Objective, State
from gpuclust.deep.rows import Rows, generator
from gpuclust.deep.settings import SCHEDULES, Training
from gpuclust.errors import TrainingError

__all__ = ["SCHEDULES", "Training", "train"]

#: Products of a step, up to which one thread of the CPU takes no longer than two: to wake the other for each of some
#: twenty operations costs more than it saves (measured: with 26 million half the time, with 300 million 1.2 times it).
_MOST_ALONE = 150_000_000


def train(
    model: AutoencoderModel,
    rows: Rows,
    objective: Objective,
    training: Training | None = None,
    *,
    seed: int = 0,
    state: State | None = None,
    callback: Callable[[Epoch], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    history: History | None = None,
) -> History:
    """Minimise an objective over the weights of ``model`` and the parameters of ``state``, in place.

    Parameters
    ----------
    model : AutoencoderModel
        On the device of the rows; left in evaluation mode.
    rows : Rows
    objective : callable
        See :mod:`gpuclust.deep.objectives`.
    training : Training, optional
    seed : int
        Of the order of rows and of all noise.
    state : State, optional
        Of the objective.
    callback : callable, optional
        Called with the `Epoch` after each one. It may raise to stop.
    checkpoint : path, optional
        File that is replaced, by one rename, after every ``checkpoint_every`` epochs. If it is there when training
        starts, training goes on from it.
    history : History, optional
        Filled as training goes on, and returned: for those who want what there was before an exception.

    Returns
    -------
    History

    Raises
    ------
    TrainingError
        The loss or a weight is no longer finite.
    ModelError
        The checkpoint is corrupt, or of other training than this.
    OutputError
        The checkpoint cannot be written.

    Notes
    -----
    Whatever is raised, by the callback too, model and state are left as they were after the last whole epoch.
    """
    training = Training() if training is None else training
    state = State() if state is None else state
    history = History() if history is None else history
    run = _Run(model, rows, objective, training, seed, state.to(rows.device), history)
    file = None
    if checkpoint is not None:
        file = Checkpoint(Path(checkpoint), run.trained, run.optimizer, run.identity)
        history.epochs[:] = file.load(run.best)
    compiled = [network for part in model.parts for network in (part.encoder, part.decoder)] if training.compile else []
    for network in compiled:
        network.compile()
    last = _copy(run.trained)
    try:
        while not run.finished:
            with one_thread() if run.is_short else nullcontext():
                epoch = run.epoch()
            _copy(run.trained, last)
            run.keep(epoch)
            if file is not None and (len(run.history) % checkpoint_every == 0 or run.finished):
                file.save(run.history, run.best)
            if callback is not None:
                callback(epoch)
        if training.patience is not None and run.best:
            last = run.best
    finally:
        _restore(run.trained, last)
        model.eval()
        for network in compiled:
            network._compiled_call_impl = None
    return history


class _Run:
    """What training consists of while it lasts."""

    def __init__(
        self,
        model: AutoencoderModel,
        rows: Rows,
        objective: Objective,
        training: Training,
        seed: int,
        state: State,
        history: History,
    ) -> None:
        self.model, self.rows, self.objective, self.training, self.seed = model, rows, objective, training, seed
        self.state, self.history = state, history
        self.trained = nn.ModuleDict({"model": model, "state": state})
        self.parameters = [weight for weight in self.trained.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.best: dict[str, Tensor] = {}
        self.chosen, self.held_out = rows.split(training.validation, self._key("held out"))
        self._dropouts = [layer for layer in self.trained.modules() if isinstance(layer, Dropout)]

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for training to go on from a checkpoint."""
        objective = getattr(self.objective, "func", self.objective)
        return {
            "objective": getattr(objective, "__name__", type(objective).__name__),
            "options": {name: repr(value) for name, value in getattr(self.objective, "keywords", {}).items()},
            "training": {name: value for name, value in vars(self.training).items() if name != "compile"},
            "seed": self.seed,
            "rows": self.rows.fingerprint,
        }

    @property
    def is_short(self) -> bool:
        """Whether a step is not worth sharing among threads."""
        weights = list(self.model.parameters())
        linear = {
            weight for layer in self.model.modules() if isinstance(layer, nn.Linear) for weight in layer.parameters()
        }
        known = all(weight.ndim < 2 or weight in linear for weight in weights)  # others count more than once a row
        n_products = self.training.batch_size * sum(weight.numel() for weight in weights)
        return self.rows.device.type == "cpu" and known and n_products <= _MOST_ALONE

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or patience is."""
        done, patience = len(self.history), self.training.patience
        return done >= self.training.epochs or (patience is not None and done - 1 - self.history.best >= patience)

    def epoch(self) -> Epoch:
        """One pass over the rows."""
        number, began = len(self.history), perf_counter()
        rate = self.training.learning_rate * self._share(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._draw_from(f"noise {number}")
        with torch.no_grad():
            self.state.before_epoch(self.model, self.rows, number)
        self.trained.train()
        sums = _Sums()
        for batch in self.rows.batches(self.training.batch_size, self._key(f"order {number}"), self.chosen):
            cancel_here()
            with self._precision():
                terms = self.objective(self.model, batch, self.state)
                loss = torch.stack(list(terms.values())).sum()
            loss.backward()
            if self.training.clip is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.training.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            sums.add(terms, len(batch.x))
        self.trained.eval()
        found = self._finite(sums.means(), number)
        held_out = None if self.held_out is None else sum(self._validate().values())
        seconds = perf_counter() - began
        return Epoch(number, self.training.epochs, found, held_out, rate, seconds, sums.n_rows / seconds)

    def keep(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and the weights to the best ones if they are."""
        self.history.epochs.append(epoch)
        if self.training.patience is not None and self.history.best == epoch.number:
            self.best = _copy(self.trained, self.best)

    def _validate(self) -> dict[str, float]:
        self._draw_from("noise of the held-out rows")  # the same every time
        sums = _Sums()
        with torch.no_grad(), self._precision():
            for batch in self.rows.batches(self.training.batch_size, None, self.held_out):
                sums.add(self.objective(self.model, batch, self.state), len(batch.x))
        return sums.means()

    def _finite(self, terms: dict[str, float], number: int) -> dict[str, float]:
        bad = [f"the term {name!r} of the loss is {value}" for name, value in terms.items() if not math.isfinite(value)]
        # A sum is finite only if all its terms are, and reads them once.
        if not bad and not bool(torch.stack([weight.detach().sum() for weight in self.parameters]).isfinite().all()):
            bad = ["a weight is no longer finite"]
        if bad:
            raise TrainingError(
                f"training diverged in epoch {number + 1}: {bad[0]}. Lower learning_rate "
                f"({self.training.learning_rate:.3g}), clip the gradient (clip=1.0), or scale the rows "
                "(scaling='standard'). The model is as it was after the epoch before."
            )
        return terms

    def _precision(self) -> AbstractContextManager[Any]:
        kind, wanted = self.rows.device.type, self.training.precision
        if wanted == "bfloat16" or (wanted == "auto" and kind == "cuda" and torch.cuda.is_bf16_supported()):
            return torch.autocast(kind, torch.bfloat16)
        return nullcontext()

    def _share(self, number: int) -> float:
        losses = [epoch.loss if epoch.validation is None else epoch.validation for epoch in self.history.epochs]
        return SCHEDULES[self.training.schedule](number, self.training.epochs, losses)

    def _key(self, purpose: str) -> int:
        return purpose_stream(self.seed, purpose).key

    def _draw_from(self, purpose: str) -> None:
        source = generator(self._key(purpose), self.rows.device)
        self.state.generator = source
        for layer in self._dropouts:
            layer.generator = source


class _Sums:
    """Sums of the terms over rows, where they are computed."""

    def __init__(self) -> None:
        self.n_rows = 0
        self._names: list[str] = []
        self._sums: Tensor | None = None

    def add(self, terms: Any, n_rows: int) -> None:
        values = torch.stack([term.detach() for term in terms.values()]).double() * n_rows
        self._names, self.n_rows = list(terms), self.n_rows + n_rows
        self._sums = values if self._sums is None else self._sums + values

    def means(self) -> dict[str, float]:
        """Mean of each term over the rows: here the device is waited for."""
        assert self._sums is not None
        return dict(zip(self._names, (self._sums / self.n_rows).tolist(), strict=True))


def _copy(module: nn.Module, into: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The values of all weights and buffers, in tensors of their own."""
    values = module.state_dict()
    if not into:
        return {name: value.detach().clone() for name, value in values.items()}
    for name, value in values.items():
        into[name].copy_(value)
    return into


def _restore(module: nn.Module, values: dict[str, Tensor]) -> None:
    module.load_state_dict(values)

"""Training on disk: one safetensors file, replaced by a rename, never pickle.

It (see `gpuclust._container`) holds weights and buffers (``now.*``, and ``best.*`` where rows are held out), the
optimiser's moments (``optimizer.<number>.<name>``), and as JSON the history and what the training is.
No generator has a state to keep: see :mod:`gpuclust.deep.training`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpuclust._container import pack, unpack
from gpuclust.deep.history import Epoch, History
from gpuclust.errors import ModelError, OutputError

__all__ = ["Checkpoint"]

_FORMAT = 1


class Checkpoint:
    """The file of a training.

    Parameters
    ----------
    path : Path
    module : nn.Module
        All that is trained.
    optimizer : torch.optim.Optimizer
    identity : dict
        What the training is, as JSON knows it: a file of another one is refused.
    """

    def __init__(
        self, path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
    ) -> None:
        self.path, self._module, self._optimizer = path, module, optimizer
        self._identity = json.loads(json.dumps(identity, default=np.generic.item))

    def save(self, history: History, best: dict[str, Tensor]) -> None:
        """Replace the file; OutputError, and the older file, if that fails."""
        tensors = {f"now.{name}": _array(value) for name, value in self._module.state_dict().items()}
        tensors |= {f"best.{name}": _array(value) for name, value in best.items()}
        for number, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": _array(value) for name, value in moments.items()}
        content = pack({"format": _FORMAT, "training": self._identity, "history": history.as_dict()}, tensors)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            raise OutputError(f"checkpoint={str(self.path)!r} cannot be written: {error.strerror or error}.") from error
        finally:
            partial.unlink(missing_ok=True)

    def load(self, best: dict[str, Tensor]) -> list[Epoch]:
        """Bring module, optimiser and ``best`` to where the file is; return its epochs, none if there is no file.

        Raises
        ------
        ModelError
            The file is corrupt in any bit, of another version, or of another training.
        """
        if not self.path.exists():
            return []
        tensors, described = self._read()
        if described["training"] != self._identity:
            ours, theirs = self._identity, described["training"]
            other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
            raise ModelError(
                f"checkpoint={str(self.path)!r} is of another training: its {', '.join(other)} differ. Remove the "
                "file, or name another."
            )
        try:
            self._module.load_state_dict(_under("now.", tensors))
        except RuntimeError as error:
            raise ModelError(f"checkpoint={str(self.path)!r} is of another network: {error}") from error
        device = next(self._module.parameters()).device
        best.update({name: value.to(device) for name, value in _under("best.", tensors).items()})
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return History.from_dict(described["history"]).epochs

    def _read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        try:
            described, tensors = unpack(self.path.read_bytes())
        except OSError as error:
            raise ModelError(f"checkpoint={str(self.path)!r} cannot be read: {error.strerror or error}.") from error
        except ModelError as error:
            raise ModelError(f"checkpoint={str(self.path)!r} {error}") from error.__cause__
        if described.get("format") != _FORMAT:
            raise ModelError(f"checkpoint={str(self.path)!r} has format {described.get('format')!r}, not {_FORMAT}.")
        return tensors, described


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().contiguous().numpy()


def _under(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(value.copy())
        for name, value in tensors.items()
        if name.startswith(prefix)
    }

"""Checkpoints: interrupted at every epoch, training ends with the same bits; and what is refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gpuclust import Autoencoder
from gpuclust.deep.encoding import encode
from gpuclust.deep.objectives import State, reconstruction
from gpuclust.deep.training import Training, train
from gpuclust.errors import ModelError, OutputError
from tests.deep.helpers import bits, blobs, network, opened, same_bits

EPOCHS = 5
TRAININGS = {
    "plain": Training(epochs=EPOCHS, batch_size=16),
    "plateau": Training(epochs=EPOCHS, batch_size=16, schedule="plateau", clip=1.0, weight_decay=0.1),
    "patience": Training(epochs=EPOCHS, batch_size=8, learning_rate=1.0, validation=0.3, patience=1),
}


class Stop(Exception):
    pass


class Target(State):
    """A trained centre, and a target that is renewed every other epoch: it must come back from the file."""

    def __init__(self):
        super().__init__()
        self.center = nn.Parameter(torch.ones(2))
        self.register_buffer("target", torch.zeros(70, 2))

    def before_epoch(self, model, rows, epoch):
        if epoch % 2 == 0:
            self.target = encode(model, rows)


def objective(model, batch, state, *, noise):
    pull = (model.encode(batch.x) - 0.5 * state.target[batch.index] - state.center).square().mean()
    return {**reconstruction(model, batch, state, noise=noise), "pull": 0.1 * pull}


def run(training, path=None, stop=None, **options):
    def callback(epoch):
        if epoch.number == stop:
            raise Stop

    model, state = network(dropout=0.2), Target()
    try:
        history = train(
            model,
            opened(blobs()),
            partial(objective, noise=0.1),
            training,
            seed=3,
            state=state,
            callback=callback,
            checkpoint=path,
            **options,
        )
    except Stop:
        return None
    return {**bits(model), **bits(state)}, [(epoch.terms, epoch.validation) for epoch in history]


@pytest.mark.parametrize("name", TRAININGS)
def test_interrupted_at_every_epoch(name, tmp_path):
    """Stopped after each epoch in turn, in one chain of restarts and with a file that is two epochs old."""
    expected, history = run(TRAININGS[name])
    assert (len(history) < EPOCHS) == (name == "patience")  # which ends with the weights of an epoch before the last
    for options in ({}, {"checkpoint_every": 2}):
        path = tmp_path / f"{len(options)}.safetensors"
        for stop in range(len(history)):
            assert run(TRAININGS[name], path, stop, **options) is None
        found, seen = run(TRAININGS[name], path, **options)
        assert same_bits(found, expected)
        assert seen == history
        assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
    assert run(TRAININGS[name], path)[1] == history  # of training that is over, the file is the result


def test_an_estimator_goes_on(tmp_path):
    X, path = blobs(), tmp_path / "training"

    def callback(epoch):
        if epoch.number == 1:
            raise Stop

    options = {"n_components": 2, "epochs": 4, "random_state": 0, "architecture": {"widths": (8,)}}
    stopped = Autoencoder(**options, checkpoint=path, callback=callback)
    with pytest.raises(Stop):
        stopped.fit(X)
    assert len(stopped.history_) == 2
    assert stopped.transform(X).shape == (70, 2)
    whole = Autoencoder(**options).fit(X)
    again = Autoencoder(**options, checkpoint=path).fit(X)
    np.testing.assert_array_equal(again.transform(X), whole.transform(X))
    assert again.history_.losses == whole.history_.losses


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "training"
    run(TRAININGS["plain"], path)
    content = path.read_bytes()
    for at in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ModelError):
            run(TRAININGS["plain"], path)
    path.write_bytes(content[:-7])
    with pytest.raises(ModelError, match="corrupt"):
        run(TRAININGS["plain"], path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"training": TRAININGS["plateau"]}, "training"),
        ({"seed": 4}, "seed"),
        ({"objective": partial(reconstruction, noise=0.1)}, "objective"),
        ({"objective": partial(objective, noise=0.2)}, "options"),
        ({"rows": blobs(seed=1)}, "rows"),
    ],
)
def test_another_training_is_refused(change, what, tmp_path):
    path = tmp_path / "training"
    run(TRAININGS["plain"], path)
    with pytest.raises(ModelError, match=f"of another training: its {what} differ"):
        train(
            network(dropout=0.2),
            opened(change.get("rows", blobs())),
            change.get("objective", partial(objective, noise=0.1)),
            change.get("training", TRAININGS["plain"]),
            seed=change.get("seed", 3),
            state=Target(),
            checkpoint=path,
        )


def test_another_network_is_refused(tmp_path):
    path = tmp_path / "training"
    train(network(), opened(blobs()), reconstruction, TRAININGS["plain"], checkpoint=path)
    with pytest.raises(ModelError, match="of another network"):
        train(network(widths=(9,)), opened(blobs()), reconstruction, TRAININGS["plain"], checkpoint=path)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        run(TRAININGS["plain"], tmp_path / "nowhere" / "training")


def test_parameters_may_be_numbers_of_numpy(tmp_path):
    given = {"epochs": np.int64(1), "learning_rate": np.float64(1e-3), "checkpoint": tmp_path / "training"}
    X = np.random.default_rng(0).random((20, 3))
    first = Autoencoder(2, random_state=0, **given).fit(X)
    again = Autoencoder(2, random_state=0, **given).fit(X)
    assert first.transform(X).tobytes() == again.transform(X).tobytes()

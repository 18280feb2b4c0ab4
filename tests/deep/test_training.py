"""The trainer: one step by hand, the same bits, what stops it, and what it leaves."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from gpuclust.deep import training
from gpuclust.deep.encoding import encode
from gpuclust.deep.modalities import Modality
from gpuclust.deep.models import build
from gpuclust.deep.objectives import State, elbo, reconstruction
from gpuclust.deep.training import SCHEDULES, Training, train
from gpuclust.errors import ParameterError, TrainingError
from tests.deep.helpers import bits, blobs, network, opened, same_bits


def test_a_step_of_adam_by_hand():
    """One weight, one row: the first step of Adam is the learning rate against the gradient's sign."""

    class Weight(State):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(2.0))

    state = Weight()
    history = train(
        network(),
        opened(blobs(1)),
        lambda model, batch, state: {"square": state.w**2, "line": -3 * state.w},
        Training(epochs=1, learning_rate=0.25),
        state=state,
    )
    assert state.w.item() == pytest.approx(1.75)  # d (w**2 - 3 w) = 1 > 0
    assert history.epochs[0].terms == {"square": 4.0, "line": -6.0}
    assert history.losses == [-2.0]


def test_the_loss_falls_and_terms_are_means_over_rows():
    rows, model = opened(blobs()), network()
    history = train(model, rows, reconstruction, Training(epochs=30, batch_size=16, learning_rate=1e-2))
    assert history.losses[-1] < 0.2 * history.losses[0]
    assert not model.training
    assert all(weight.grad is None for weight in model.parameters())

    still = train(model, rows, reconstruction, Training(epochs=1, batch_size=16, learning_rate=1e-30)).losses[0]
    whole = model.losses(rows.x, model.encode(rows.x))["reconstruction"].mean().item()
    assert still == pytest.approx(whole, rel=1e-5)  # batches of 14 rows each


@pytest.mark.parametrize("max_memory", [None, 1000], ids=["resident", "streamed"])
def test_the_same_seed_gives_the_same_bits_and_no_global_generator_is_touched(max_memory):
    found = []
    for seed in (0, 0, 1):
        state = torch.random.get_rng_state()
        model = network(variational=True, dropout=0.3)
        objective = partial(elbo, noise=0.2)
        train(model, opened(blobs(), max_memory=max_memory), objective, Training(epochs=3, batch_size=16), seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        found.append(bits(model))
    assert same_bits(found[0], found[1])
    assert not same_bits(found[0], found[2])


def test_chunks_do_not_change_a_bit():
    models = [network(), network()]
    for model, chunk_rows in zip(models, (None, 9), strict=True):
        train(model, opened(blobs(), chunk_rows=chunk_rows), reconstruction, Training(epochs=2))
    assert same_bits(bits(models[0]), bits(models[1]))


def test_every_epoch_has_an_order_of_its_own():
    orders = [[], [], []]

    def watched(model, batch, state):
        orders[state.now] += batch.index.tolist()
        return reconstruction(model, batch, state)

    class Now(State):
        def before_epoch(self, model, rows, epoch):
            self.now = epoch

    train(network(), opened(blobs()), watched, Training(epochs=3, batch_size=16), state=Now())
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_fewer_rows_than_a_batch():
    history = train(network(), opened(blobs(3)), reconstruction, Training(epochs=2, batch_size=256, validation=0.5))
    assert len(history) == 2


def test_learning_rates():
    cosine = [SCHEDULES["cosine"](epoch, 4, []) for epoch in range(4)]
    assert cosine == pytest.approx([1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    plateau = [SCHEDULES["plateau"](n, 9, [3.0, 2.0, *[2.0] * 10][:n]) for n in range(13)]
    assert plateau == [1.0] * 7 + [0.5] * 5 + [0.25]
    history = train(network(), opened(blobs()), reconstruction, Training(epochs=4, schedule="cosine"))
    assert [epoch.learning_rate for epoch in history] == pytest.approx([1e-3 * share for share in cosine])


def test_the_gradient_is_clipped(monkeypatch):
    model, seen, adam = network(), [], torch.optim.AdamW.step

    def step(self, *args):
        seen.append(sum(float(weight.grad.square().sum()) for weight in model.parameters()) ** 0.5)
        return adam(self, *args)

    def steep(model, batch, state):
        assert all(weight.grad is None for weight in model.parameters())  # nothing is left of the step before
        return {"loss": 1e6 * reconstruction(model, batch, state)["reconstruction"]}

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(model, opened(blobs()), steep, Training(epochs=2, clip=0.5))
    assert seen == pytest.approx([0.5, 0.5], rel=1e-4)


def test_early_stopping_goes_back_to_the_best():
    """A rate so high that the held-out loss soon rises."""
    model, seen = network(), []
    training = Training(epochs=60, batch_size=8, learning_rate=0.3, validation=0.3, patience=3)
    rows = opened(blobs())
    history = train(model, rows, reconstruction, training, callback=lambda epoch: seen.append(bits(model)))
    held_out = [epoch.validation for epoch in history]
    best = held_out.index(min(held_out))
    assert history.best == best == len(history) - 4 < 56
    assert same_bits(bits(model), seen[best])
    assert not same_bits(bits(model), seen[-1])


def test_held_out_rows_are_not_trained_on():
    index = []

    def watched(model, batch, state):
        (index if torch.is_grad_enabled() else []).extend(batch.index.tolist())
        return reconstruction(model, batch, state)

    rows = opened(blobs())
    history = train(network(), rows, watched, Training(epochs=2, validation=0.2))
    assert len(set(index)) == 56
    assert all(epoch.validation is not None for epoch in history)


class Stop(Exception):
    pass


@pytest.mark.parametrize("at", [0, 2])
def test_a_callback_that_raises_leaves_the_last_whole_epoch(at):
    expected = network()
    train(expected, opened(blobs()), reconstruction, Training(epochs=at + 1))

    def callback(epoch):
        if epoch.number == at:
            raise Stop

    model = network()
    with pytest.raises(Stop):
        train(model, opened(blobs()), reconstruction, Training(epochs=9), callback=callback)
    assert same_bits(bits(model), bits(expected))


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_divergence_leaves_the_last_good_epoch(what):
    class Poison(State):
        def before_epoch(self, model, rows, epoch):
            self.now = epoch == 2

    def poisoned(model, batch, state):
        terms = reconstruction(model, batch, state)
        if state.now and what == "loss":
            terms["poison"] = batch.x.new_tensor(torch.nan)
        if state.now and what == "weight":  # a gradient without a trace in the loss
            terms["poison"] = (model.parts[0].encoder[0].bias * 0).sqrt().sum()
        return terms

    expected, model = network(), network()
    train(expected, opened(blobs()), reconstruction, Training(epochs=2))
    with pytest.raises(TrainingError, match=r"diverged in epoch 3: .*(nan|weight).*Lower learning_rate \(0.001\)"):
        train(model, opened(blobs()), poisoned, Training(epochs=9), state=Poison())
    assert same_bits(bits(model), bits(expected))
    assert not model.training


def test_the_state_is_trained_told_of_epochs_and_shares_the_generator():
    class Target(State):
        def __init__(self):
            super().__init__()
            self.center = nn.Parameter(torch.zeros(2))
            self.register_buffer("target", torch.zeros(70, 2))
            self.epochs = []

        def before_epoch(self, model, rows, epoch):
            assert not torch.is_grad_enabled()
            self.epochs.append(epoch)
            self.target = encode(model, rows)

    drawn = []

    def objective(model, batch, state):
        drawn.append(torch.rand(1, generator=state.generator).item())
        return {"pull": (state.target[batch.index] - state.center).square().mean()}

    state = Target()
    train(network(), opened(blobs()), objective, Training(epochs=3, learning_rate=0.1), state=state)
    assert state.epochs == [0, 1, 2]
    assert state.center.abs().sum() > 0
    assert len(set(drawn)) == 3


def test_progress_is_reported():
    seen = []
    train(network(), opened(blobs()), reconstruction, Training(epochs=2, validation=0.1), callback=seen.append)
    assert [epoch.number for epoch in seen] == [0, 1]
    assert str(seen[0]).startswith("epoch 1/2: reconstruction ")
    assert "held out" in str(seen[0])
    assert seen[0].rows_per_second > 0
    assert seen[0].remaining == pytest.approx(seen[0].seconds)
    assert seen[1].remaining == 0


@pytest.mark.slow
def test_compiled_networks_learn_the_same():
    plain, compiled = network(), network()
    for model, flag in ((plain, False), (compiled, True)):
        train(model, opened(blobs()), reconstruction, Training(epochs=2, compile=flag))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_bfloat16_learns_too():
    model = network()
    history = train(
        model,
        opened(blobs()),
        reconstruction,
        Training(epochs=20, batch_size=16, precision="bfloat16", learning_rate=1e-2),
    )
    assert history.losses[-1] < 0.5 * history.losses[0]
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": math.inf}, "learning_rate=inf"),
        ({"schedule": "linear"}, "schedule='linear'"),
        ({"precision": "half"}, "precision='half'"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"patience": 3}, "patience=3 should be an int >= 1 and needs rows that are held out"),
    ],
)
def test_parameters_that_break_a_rule(fields, message):
    with pytest.raises(ParameterError, match=message):
        Training(**fields)


@pytest.mark.parametrize(
    ("architecture", "most", "expected"),
    [
        ({"widths": (8,)}, None, {1}),
        ({"widths": (8,)}, 0, {2}),
        ({"widths": (8,), "tied": True}, None, {1}),
        ({"kind": "conv1d", "widths": (8,), "shape": (6,)}, None, {2}),
        ({"kind": "gru", "widths": (8,), "shape": (6,)}, None, {2}),
    ],
)
def test_short_steps_stay_on_one_thread(monkeypatch, architecture, most, expected):
    """Of dense networks, whose products can be counted; the callback, and who comes after, have their threads again."""
    if most is not None:
        monkeypatch.setattr(training, "_MOST_ALONE", most)
    seen, model = [], build({"X": Modality(architecture=architecture)}, {"X": 6}, 2)

    def objective(*given):
        seen.append(torch.get_num_threads())
        return reconstruction(*given)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        after = []
        train(
            model,
            opened(blobs()),
            objective,
            Training(epochs=1),
            callback=lambda _: after.append(torch.get_num_threads()),
        )
        assert (set(seen), after, torch.get_num_threads()) == (expected, [2], 2)
    finally:
        torch.set_num_threads(before)

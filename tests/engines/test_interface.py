"""Every engine has the methods of the base class, with the same parameters in the same order."""

from __future__ import annotations

import inspect

from gpuclust.engines import Engine

OPERATIONS = sorted(Engine.__abstractmethods__)
# What the engine of several GPUs asks of those of one.
WITHIN_A_FOLDER = {"add_inertia", "rounded_total"}


def _parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_signatures_are_those_of_the_base_class(engine):
    assert isinstance(engine, Engine)
    for name in OPERATIONS:
        assert _parameters(getattr(type(engine), name)) == _parameters(getattr(Engine, name)), name


def test_no_engine_has_operations_of_its_own(engine):
    """Beyond what the classes of one engine's own folder ask of each other, which algorithms cannot know."""
    public = {name for name, _ in inspect.getmembers(type(engine), inspect.isfunction) if not name.startswith("_")}
    assert public - WITHIN_A_FOLDER == set(OPERATIONS)


def test_every_operation_says_what_it_does():
    for name in OPERATIONS:
        assert getattr(Engine, name).__doc__, name

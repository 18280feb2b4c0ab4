"""Densities and moments of Gaussian mixtures: :mod:`gpuclust.engines.mixture`.

Rows are turned into tiles, feature by feature, so that the rows of a tile share every instruction: the inner loops run
over rows and nothing in them depends on another row. Sums are of integers, which the compiler may add in any order.
"""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.compile import kernel, part
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.mixture import (
    EXP_TERMS,
    LEAST,
    LN2,
    LN2_REST,
    LOG2E,
    LOG_TERMS,
    MOST,
    ROOT_HALF,
    ROUNDER,
    Densities,
    Mixture,
    MomentFormat,
    Moments,
)

__all__ = ["mixture_densities", "mixture_moments"]

# Rows of a tile, if its features and components fit the second-level cache.
_LONGEST, _SHORTEST, _ELEMENTS = 1024, 64, 1 << 16
# Rows that a thread takes at a time, at least, and the tables that threads add into, all together.
_SHARE, _TABLES = 4096, 256 * 2**20
_NONE = np.empty((0, 0))
T, L = EXP_TERMS, LOG_TERMS


def mixture_densities(rows: np.ndarray, mixture: Mixture, *, responsibilities: bool) -> Densities:
    """See `gpuclust.engines.base.Engine.mixture_densities`."""
    m, k = len(rows), len(mixture.means)
    found = Densities(np.empty(m, np.int32), np.empty(m), np.empty((m, k)) if responsibilities else None)
    proba = _NONE if found.responsibilities is None else found.responsibilities

    def block(lo: int, hi: int) -> None:
        evaluate(
            rows[lo:hi], *mixture, _tile(rows.shape[1], k), found.labels[lo:hi], found.log_densities[lo:hi],
            proba[lo:hi],
        )  # fmt: skip

    run_blocks(block, m, _SHARE)
    return found


def mixture_moments(
    rows: np.ndarray, mixture: Mixture, form: MomentFormat, responsibilities: np.ndarray | None = None
) -> Moments:
    """See `gpuclust.engines.base.Engine.mixture_moments`."""
    m, k = len(rows), len(mixture.means)
    given = _NONE if responsibilities is None else responsibilities
    # One table of sums a thread, as many as the budget allows.
    workers = max(1, min(n_threads(), _TABLES // (16 * k * len(form.left))))
    high, low = form.rounders

    def block(lo: int, hi: int) -> Moments:
        sums = Moments.zeros(k, form)
        accumulate(
            rows[lo:hi], *mixture, mixture.ceiling, given[lo:hi], _tile(rows.shape[1], k), form.cutoff, form.left,
            form.right, high, low, sums.limbs, sums.bins,
        )  # fmt: skip
        return sums

    total, *others = run_blocks(block, m, max(_SHARE, -(-m // workers)), workers)
    for other in others:
        total += other
    return total


def _tile(n_features: int, n_components: int) -> int:
    return max(_SHORTEST, min(_LONGEST, _ELEMENTS // (3 * n_features + n_components) // 64 * 64))


@part
def _exp(x):  # type: ignore[no-untyped-def]
    clipped = x if x > LEAST else LEAST
    shifted = clipped * LOG2E + ROUNDER
    k = shifted - ROUNDER
    u = (clipped - k * LN2) - k * LN2_REST
    # A loop over the terms would keep the rows of a tile from going through it side by side.
    value = ((T[0] * u + T[1]) * u + T[2]) * u + T[3]
    value = (((value * u + T[4]) * u + T[5]) * u + T[6]) * u + T[7]
    value = (((value * u + T[8]) * u + T[9]) * u + T[10]) * u + T[11]
    value = (value * u + T[12]) * u + T[13]
    power = np.float64(shifted).view(np.int64) << 52
    scaled = np.int64(np.float64(value).view(np.int64) + power).view(np.float64)
    return scaled if x >= LEAST else 0.0


@part
def _log(x):  # type: ignore[no-untyped-def]
    bits = np.float64(x).view(np.int64)
    k = (bits - ROOT_HALF) >> 52
    f = np.int64(bits - (k << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (L[1] + w * (L[3] + w * L[5]))
    even = z * (L[0] + w * (L[2] + w * (L[4] + w * L[6])))
    half = 0.5 * f * f
    power = np.float64(k)
    return power * LN2 - ((half - (s * (half + (odd + even)) + power * LN2_REST)) - f)


@kernel
def fill_tile(rows, first, n, x):  # type: ignore[no-untyped-def]
    """Write rows ``first`` to ``first + n`` into ``x`` (d, tile), feature by feature."""
    for t in range(n):
        for j in range(rows.shape[1]):
            x[j, t] = np.float64(rows[first + t, j])


@kernel
def fill_joint(x, n, means, factors, constants, z, y, joint):  # type: ignore[no-untyped-def]
    """Logarithm of weight times density of the ``n`` rows of a tile in every component, ``joint`` (k, tile)."""
    d, diagonal = x.shape[0], factors.shape[1] == 1
    for c in range(means.shape[0]):
        total = joint[c]
        for j in range(d):
            mean, row, out = means[c, j], x[j], z[j]
            for t in range(n):
                out[t] = row[t] - mean
        for j in range(d):
            first, head = z[j if diagonal else 0], factors[c, 0, j]
            for t in range(n):
                y[t] = first[t] * head
            i = j + 1 if diagonal else 1
            while i + 3 <= j:
                a, b, g, h = factors[c, i, j], factors[c, i + 1, j], factors[c, i + 2, j], factors[c, i + 3, j]
                za, zb, zg, zh = z[i], z[i + 1], z[i + 2], z[i + 3]
                for t in range(n):
                    y[t] = (((y[t] + za[t] * a) + zb[t] * b) + zg[t] * g) + zh[t] * h
                i += 4
            while i <= j:
                a, za = factors[c, i, j], z[i]
                for t in range(n):
                    y[t] = y[t] + za[t] * a
                i += 1
            if j == 0:
                for t in range(n):
                    total[t] = y[t] * y[t]
            else:
                for t in range(n):
                    total[t] = total[t] + y[t] * y[t]
        constant = constants[c]
        for t in range(n):
            square = total[t] if total[t] < MOST else MOST
            total[t] = constant - 0.5 * square


@kernel
def normalize(joint, n, top, total, density):  # type: ignore[no-untyped-def]
    """Turn ``joint`` (k, tile) into responsibilities; ``density`` (tile,) receives the logarithm of their sum."""
    k = joint.shape[0]
    for t in range(n):
        top[t] = joint[0, t]
        total[t] = 0.0
    for c in range(1, k):
        row = joint[c]
        for t in range(n):
            top[t] = row[t] if row[t] > top[t] else top[t]
    for c in range(k):
        row = joint[c]
        for t in range(n):
            row[t] = _exp(row[t] - top[t])
        for t in range(n):
            total[t] = total[t] + row[t]
    for t in range(n):
        density[t] = top[t] + _log(total[t])
        total[t] = 1.0 / total[t]
    for c in range(k):
        row = joint[c]
        for t in range(n):
            row[t] = row[t] * total[t]


@kernel
def fill_labels(joint, n, top, labels):  # type: ignore[no-untyped-def]
    """The component of the largest ``joint`` (k, tile) of each row, ties to the lowest index."""
    for t in range(n):
        top[t] = joint[0, t]
        labels[t] = 0
    for c in range(1, joint.shape[0]):
        row = joint[c]
        for t in range(n):
            labels[t] = c if row[t] > top[t] else labels[t]
            top[t] = max(row[t], top[t])


@kernel
def evaluate(rows, means, factors, constants, tile, labels, density, proba):  # type: ignore[no-untyped-def]
    """Labels and log-densities (m,) of rows (m, d), and responsibilities (m, k) unless ``proba`` is (0, 0)."""
    d, k = rows.shape[1], means.shape[0]
    x, z, joint = np.empty((d, tile)), np.empty((d, tile)), np.empty((k, tile))
    y, total = np.empty(tile), np.empty(tile)
    for first in range(0, rows.shape[0], tile):
        n = min(tile, rows.shape[0] - first)
        fill_tile(rows, first, n, x)
        fill_joint(x, n, means, factors, constants, z, y, joint)
        fill_labels(joint, n, y, labels[first : first + n])
        normalize(joint, n, y, total, density[first : first + n])
        if proba.size > 0:
            for t in range(n):
                for c in range(k):
                    proba[first + t, c] = joint[c, t]


@kernel
def deposit(value, bins):  # type: ignore[no-untyped-def]
    """Add a float64 >= 0 to ``bins``: word q counts multiples of 2**(32 q - 2148)."""
    bits = np.float64(value).view(np.int64)
    exponent, normal = bits >> 52, 1 if bits >> 52 > 0 else 0
    position = exponent + (1 - normal) - 1075 + 2148
    place, shift = position >> 5, position & 31
    word = np.uint64((bits & 0xFFFFFFFFFFFFF) + (normal << 52))
    bins[place] += np.int64((word << np.uint64(shift)) & np.uint64(0xFFFFFFFF))
    bins[place + 1] += np.int64((word >> np.uint64(32 - shift)) & np.uint64(0xFFFFFFFF))
    bins[place + 2] += np.int64((word >> np.uint64(32)) >> np.uint64(32 - shift))


@kernel
def accumulate(  # type: ignore[no-untyped-def]
    rows, means, factors, constants, ceiling, given, tile, cutoff, left, right, high, low, limbs, bins
):
    """Add the moments of rows (m, d) to ``limbs`` (2, k, p), and their deficits to ``bins``.

    ``given`` (m, k) are responsibilities in place of the mixture's; then there are no deficits.
    """
    d, k = rows.shape[1], means.shape[0]
    x, z, joint = np.empty((d, tile)), np.empty((d + 1, tile)), np.empty((k, tile))
    y, total, density = np.empty(tile), np.empty(tile), np.empty(tile)
    weighted, active = np.empty((d + 1, tile)), np.empty(tile, np.int64)
    for first in range(0, rows.shape[0], tile):
        n = min(tile, rows.shape[0] - first)
        fill_tile(rows, first, n, x)
        if given.size > 0:
            for t in range(n):
                for c in range(k):
                    joint[c, t] = given[first + t, c]
        else:
            fill_joint(x, n, means, factors, constants, z, y, joint)
            normalize(joint, n, y, total, density)
            for t in range(n):
                deposit(max(ceiling - density[t], 0.0), bins)
        for c in range(k):
            add_moments(x, joint[c], n, means[c], cutoff, left, right, high, low, active, z, weighted, limbs[:, c])


@kernel
def add_moments(  # type: ignore[no-untyped-def]
    x, share, n, mean, cutoff, left, right, high, low, active, z, weighted, limbs
):
    """Add the moments of a tile's rows in one component, with responsibilities ``share``, to ``limbs`` (2, p)."""
    m = 0
    for t in range(n):
        active[m] = t
        m += 1 if share[t] >= cutoff else 0
    for i in range(m):
        z[0, i] = 1.0
        weighted[0, i] = share[active[i]]
    for j in range(x.shape[0]):
        row, out, product, factor, centre = x[j], z[j + 1], weighted[j + 1], weighted[0], mean[j]
        for i in range(m):
            out[i] = row[active[i]] - centre
        for i in range(m):
            product[i] = factor[i] * out[i]
    for p in range(left.size):
        a, b, up, down = weighted[left[p]], z[right[p]], high[p], low[p]
        whole, rest = np.int64(0), np.int64(0)
        for i in range(m):
            value = a[i] * b[i]
            rounded = value + up
            whole += np.float64(rounded).view(np.int64)
            rest += np.float64((value - (rounded - up)) + down).view(np.int64)
        # The rounders' own bits are in the sums as often as rows are; integers wrap.
        limbs[0, p] += whole - m * np.float64(up).view(np.int64)
        limbs[1, p] += rest - m * np.float64(down).view(np.int64)

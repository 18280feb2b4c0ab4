"""What is done with the neighbours of a tile and a group: count, weigh, link, claim. A kernel call is one unit of work.

A unit is a group of columns of block b and the tiles ``at`` to ``stop`` of block a. Tiles that cannot matter are left
out: by their boxes, and because all their rows are known to be core rows of one component, or by what ``core`` already
says. Several threads run units at once: what they share is only changed by atomics, and every test that leaves tiles
out is of something that stays true.
"""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.comparison import find_neighbors, near_tiles, new_workspace, pack
from gpuclust.engines.cpu.compile import bare_kernel, kernel
from gpuclust.engines.cpu.union import add_at, find, minimum_at, union
from gpuclust.engines.cpu.vector import bit_count, trailing_zeros

__all__ = ["NO_PAIRS", "claim_pairs", "claim_unit", "count_unit", "link_pairs", "link_unit", "roots", "weigh_unit"]

# What `count_unit` gets when nothing more can be remembered.
NO_PAIRS = np.empty((0, 2), np.int32)
# From so many rows of a tile on, counting all of them at once is cheaper than one after the other.
_DENSE = 8
# Instead of the row that stands for a tile: it has no core rows, or they are not known to be of one component.
_NONE, _OPEN = -2, -1


@bare_kernel
def _spokesman(side, t, rows, counts, enough, strict, parent, known):  # type: ignore[no-untyped-def]
    """A core row of the t-th ``rows`` rows, if all their core rows are of one component; ``strict``: if all are core.

    ``known[t]`` is how many leading rows have been found so, or, once all have, -1 less that row: neither can change,
    so that most calls end at once.
    """
    if known[t] < 0:
        return -1 - np.int64(known[t])
    lo, hi = t * rows, min((t + 1) * rows, side.order.size)
    first = _NONE
    for k in range(lo, hi):
        row = side.start + side.order[k]
        if counts[row] >= enough:
            first = row
            break
        if strict:
            return _OPEN
    if first == _NONE:
        return first
    root = find(parent, first)
    for k in range(lo + known[t], hi):
        row = side.start + side.order[k]
        core = counts[row] >= enough
        if (strict and not core) or (core and find(parent, row) != root):
            known[t] = k - lo
            return _OPEN
    known[t] = -1 - first
    return first


@bare_kernel
def _known_settled(t, group, known, parent):  # type: ignore[no-untyped-def]
    """Whether tile t of a and the group are already known to be of one component."""
    mine, other = known[0][t], known[2][group]
    return mine < 0 and other < 0 and find(parent, np.int64(-1 - mine)) == find(parent, np.int64(-1 - other))


@bare_kernel
def _settled(mine, other, parent):  # type: ignore[no-untyped-def]
    """Whether no pair of the rows that these two speak for can be new."""
    if mine == _NONE or other == _NONE:
        return True
    return mine != _OPEN and other != _OPEN and find(parent, mine) == find(parent, other)


@bare_kernel
def _unsettled_tiles(a, b, t, columns, rule, diagonal, counts, enough, strict, parent, known, work):  # type: ignore[no-untyped-def]
    """`near_tiles` without those in which no pair can be new.

    ``known``, see `_spokesman`, is for the tiles of a, the tiles of b and the groups of b.
    """
    mine = _spokesman(a, t, rule.rows, counts, enough, strict, parent, known[0])
    if mine != _OPEN:
        group = columns.first // rule.group
        if _settled(mine, _spokesman(b, group, rule.group, counts, enough, strict, parent, known[2]), parent):
            return 0
    marked = near_tiles(a, b, t, columns, rule, diagonal, work)
    if mine == _OPEN and strict:
        return marked
    for k in range((columns.size + rule.rows - 1) // rule.rows):
        if work.wanted[k]:
            u = columns.first // rule.rows + k
            if _settled(mine, _spokesman(b, u, rule.rows, counts, enough, strict, parent, known[1]), parent):
                work.wanted[k] = 0
                marked -= 1
    return marked


@bare_kernel
def _count(a, b, t, columns, rule, found, work, tally, counts):  # type: ignore[no-untyped-def]
    numbers, words, order = work.columns, work.words, b.order
    for i in range(rule.rows):
        tally[i] = 0
    for k in range(found):
        word = words[k]
        n = bit_count(word)
        add_at(counts, b.start + order[columns.first + numbers[k]], np.int32(n))
        if n >= _DENSE:
            for i in range(rule.rows):
                tally[i] += np.int64((word >> np.uint64(i)) & np.uint64(1))
        else:
            while word != 0:
                tally[trailing_zeros(word)] += 1
                word &= word - np.uint64(1)
    for i in range(rule.rows):
        if tally[i] > 0:
            add_at(counts, a.start + a.order[t * rule.rows + i], np.int32(tally[i]))


@bare_kernel
def _join(a, b, t, columns, rule, found, work, counts, enough, parent):  # type: ignore[no-untyped-def]
    """Join the pairs of core rows among those found, and take them out of ``work.words``."""
    tile, order = a.order[t * rule.rows :], b.order
    numbers, words = work.columns, work.words
    core, same = np.uint64(0), np.uint64(0)
    first = _NONE
    for i in range(min(rule.rows, tile.size)):
        row = a.start + tile[i]
        if counts[row] >= enough:
            bit = np.uint64(1) << np.uint64(i)
            core |= bit
            if first == _NONE:
                first = row
            if find(parent, row) == find(parent, first):
                same |= bit
    if first == _NONE:
        return
    for k in range(found):
        column = b.start + order[columns.first + numbers[k]]
        word = words[k]
        if word & core == 0 or counts[column] < enough:
            continue
        words[k] = word & ~core
        word &= core
        # Where clusters are dense nearly all rows of a tile are of one component: one union joins them all.
        if word & same != 0:
            if find(parent, column) != find(parent, first):
                union(parent, column, first)
            word, same = word & ~same, same | word
        while word != 0:
            union(parent, column, a.start + tile[trailing_zeros(word)])
            word &= word - np.uint64(1)


@bare_kernel
def _remember(a, b, t, columns, rule, found, work, pairs, used):  # type: ignore[no-untyped-def]
    """Write the pairs left in ``work.words`` behind the ``used[0]`` ones; return whether there was nothing to lose."""
    tile, order = a.order[t * rule.rows :], b.order
    numbers, words = work.columns, work.words
    n = used[0]
    for k in range(found):
        word = words[k]
        if word != 0 and len(pairs) == 0:
            return False
        column = b.start + order[columns.first + numbers[k]]
        while word != 0:
            pairs[n, 0] = a.start + tile[trailing_zeros(word)]
            pairs[n, 1] = column
            n += 1
            word &= word - np.uint64(1)
    used[0] = n
    return True


@kernel
def count_unit(  # type: ignore[no-untyped-def]
    a, b, group, at, stop, diagonal, rule, enough, counts, parent, known, pairs, used
):
    """Count neighbours, join core rows, and remember the other pairs of neighbours in ``pairs`` (capacity, 2) int32.

    ``pairs`` holds ``used[0]`` already. Ends before a tile whose pairs may not fit; with `NO_PAIRS` they are lost.
    Returns the tile it ended at, and the first of which pairs were lost, or ``stop``.
    """
    columns = pack(b, group, rule)
    work = new_workspace(a.data.shape[1], rule)
    tally = np.empty(rule.rows, np.int64)
    lost = stop
    for t in range(at, stop):
        # Where all rows are neighbours nearly all tiles end here.
        if _known_settled(t, group, known, parent):
            continue
        if _unsettled_tiles(a, b, t, columns, rule, diagonal, counts, enough, True, parent, known, work) == 0:
            continue
        if len(pairs) > 0 and len(pairs) - used[0] < rule.rows * columns.size:
            return t, lost
        found = find_neighbors(a, b, t, columns, rule, diagonal, work)
        _count(a, b, t, columns, rule, found, work, tally, counts)
        _join(a, b, t, columns, rule, found, work, counts, enough, parent)
        if not _remember(a, b, t, columns, rule, found, work, pairs, used):
            lost = min(lost, t)
    return stop, lost


@kernel
def weigh_unit(a, b, group, at, stop, diagonal, rule, values, sums):  # type: ignore[no-untyped-def]
    """Add the ``values`` of neighbours to each other's ``sums``."""
    columns = pack(b, group, rule)
    work = new_workspace(a.data.shape[1], rule)
    numbers, words, order = work.columns, work.words, b.order
    tally, mine = np.empty(rule.rows, np.int64), np.empty(rule.rows, np.int64)
    for t in range(at, stop):
        if near_tiles(a, b, t, columns, rule, diagonal, work) == 0:
            continue
        found = find_neighbors(a, b, t, columns, rule, diagonal, work)
        tile = a.order[t * rule.rows :]
        for i in range(min(rule.rows, tile.size)):
            mine[i] = values[a.start + tile[i]]
            tally[i] = 0
        for k in range(found):
            column = b.start + order[columns.first + numbers[k]]
            value = values[column]
            total = np.int64(0)
            word = words[k]
            while word != 0:
                i = trailing_zeros(word)
                word &= word - np.uint64(1)
                tally[i] += value
                total += mine[i]
            add_at(sums, column, total)
        for i in range(min(rule.rows, tile.size)):
            if tally[i] != 0:
                add_at(sums, a.start + tile[i], tally[i])


@kernel
def link_unit(a, b, group, at, stop, diagonal, rule, core, parent, known):  # type: ignore[no-untyped-def]
    """Join the core rows that are neighbours."""
    columns = pack(b, group, rule)
    work = new_workspace(a.data.shape[1], rule)
    for t in range(at, stop):
        if _known_settled(t, group, known, parent):
            continue
        if _unsettled_tiles(a, b, t, columns, rule, diagonal, core, 1, False, parent, known, work) > 0:
            found = find_neighbors(a, b, t, columns, rule, diagonal, work)
            _join(a, b, t, columns, rule, found, work, core, 1, parent)


@bare_kernel
def _core_bits(side, t, rows, core):  # type: ignore[no-untyped-def]
    """Which rows of tile t are core, and which are not: two words."""
    some, others = np.uint64(0), np.uint64(0)
    for i in range(min(rows, side.order.size - t * rows)):
        bit = np.uint64(1) << np.uint64(i)
        if core[side.start + side.order[t * rows + i]]:
            some |= bit
        else:
            others |= bit
    return some, others


@kernel
def claim_unit(a, b, group, at, stop, diagonal, rule, core, labels):  # type: ignore[no-untyped-def]
    """Lower the ``labels`` of rows that are not core to the lowest of their core neighbours."""
    columns = pack(b, group, rule)
    work = new_workspace(a.data.shape[1], rule)
    numbers, words, wanted, order = work.columns, work.words, work.wanted, b.order
    n_tiles = (columns.size + rule.rows - 1) // rule.rows
    bits = [_core_bits(b, columns.first // rule.rows + k, rule.rows, core) for k in range(n_tiles)]
    for t in range(at, stop):
        marked = near_tiles(a, b, t, columns, rule, diagonal, work)
        some, others = _core_bits(a, t, rule.rows, core)
        for k in range(n_tiles):
            if wanted[k] and (some == 0 or bits[k][1] == 0) and (others == 0 or bits[k][0] == 0):
                wanted[k] = 0
                marked -= 1
        if marked == 0:
            continue
        tile = a.order[t * rule.rows :]
        for k in range(find_neighbors(a, b, t, columns, rule, diagonal, work)):
            column = b.start + order[columns.first + numbers[k]]
            word = words[k] & (others if core[column] else some)
            while word != 0:
                _claim(a.start + tile[trailing_zeros(word)], column, core, labels)
                word &= word - np.uint64(1)


@bare_kernel
def _claim(i, j, core, labels):  # type: ignore[no-untyped-def]
    if core[j] and not core[i]:
        i, j = j, i
    # Most of a row's core neighbours are of one cluster: reading is cheaper than an atomic that changes nothing.
    if core[i] and not core[j] and np.uint32(labels[i]) < np.uint32(labels[j]):
        minimum_at(labels, j, labels[i])


@bare_kernel
def link_pairs(pairs, core, parent):  # type: ignore[no-untyped-def]
    """Join the remembered ``pairs`` of core rows."""
    for k in range(len(pairs)):
        if core[pairs[k, 0]] and core[pairs[k, 1]]:
            union(parent, pairs[k, 0], pairs[k, 1])


@bare_kernel
def claim_pairs(pairs, core, labels):  # type: ignore[no-untyped-def]
    """As `claim_unit`, of remembered ``pairs``."""
    for k in range(len(pairs)):
        _claim(pairs[k, 0], pairs[k, 1], core, labels)


@bare_kernel
def roots(parent, core, first, out):  # type: ignore[no-untyped-def]
    """The roots of core rows ``first`` to ``first + len(out)``, -1 for others."""
    for i in range(out.size):
        out[i] = find(parent, first + i) if core[first + i] else -1

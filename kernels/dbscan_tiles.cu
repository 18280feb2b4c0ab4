// DBSCAN by tiles: what is done with the neighbours among two blocks of rows, each pair of which is looked at once.
// Protocol and order of calls: Pairs in gpuclust/engines/neighborhood.py.
//
// T (m, width), norms, slacks (m): rows from number `start` on. Y (n, width), constants, twice (n rounded up to whole
//   panels): columns from number `column_start` on; Y is T where both are the same. x (m, d), y (n, d) ROW are what
//   canonical distances are computed from. limit, below, above, spread: neighbors.cuh. span, chosen: pairing.cuh; only
//   tiles and spans where `chosen` is not 0. Everything below has an entry for each row of all blocks.
// count_pairs: counts += neighbours, up to `enough` at least. Pairs whose rows both have enough are joined in `parent`;
//   the others are appended to pairs (capacity) as int2, listed[0] of them. Where there is no room, listed[1] and
//   missed, by tile and span, become 1. No more than n (enough - 2) pairs are ever appended: each counts for a row that
//   had fewer than `enough` then, and counted this one first.
// weigh_pairs: sums += values of the neighbours, int64.
// link_pairs: joins the core rows among neighbours.
// claim_pairs: labels of other rows are lowered to those of core neighbours; as unsigned, so that -1 is the highest.
// Launch: persistent blocks of THREADS, shared memory as tile.cuh says. Parallel over tiles and spans.
//
// Traffic: as settle: a tile reads its rows once a span and all columns, from L2, 2 d / TILE_ROWS or 4 d / TILE_ROWS
// bytes a pair. Bound by the products above some 100 columns, below by two instructions a pair to compare its score.
// Neighbours are few: a warp that has none of 32 x PANEL pairs goes on at once. Where they are many, rows and columns
// have enough soon, and a neighbour costs some reads from L2, no atomic. Test: tests/kernels/test_dbscan_tiles.py.
#ifndef PANEL
#define PANEL (SCREEN_HALF ? 128 : 64)
#endif
#ifndef BLOCKS
#define BLOCKS ((SCREEN_HALF ? 256 : 512) / THREADS)
#endif
#include "links.cuh"
#include "neighbors.cuh"

// Number, in its block, of this thread's column j of a panel.
__device__ __forceinline__ int number_of(int panel, int j) {
  return panel * PANEL + static_cast<int>(tile_column(lane_of(), j));
}

// Numbers of this thread's rows among those of all blocks; dead ones have the last one's.
__device__ __forceinline__ int row_number(const Tile& tile, int start, int i) {
  return start + tile.numbers[tile_row(lane_of(), i)];
}

// act(i, column in its block) for every neighbour, by each lane for its own.
template <class Act>
__device__ __forceinline__ void for_each(const unsigned (&found)[FRAGMENT_ROWS], int panel, Act act) {
#pragma unroll
  for (int i = 0; i < FRAGMENT_ROWS; i++)
#pragma unroll 1
    for (unsigned rest = found[i]; rest != 0; rest &= rest - 1)
      act(i, number_of(panel, __ffs(rest) - 1));
}

struct Counting {
  int start, column_start, enough;
  int *counts, *parent;
  int2* pairs;
  int capacity;
  int *listed, *missed;
  const Pairing& pairing;
  int own;  // count of the owned row, when last looked at

  __device__ __forceinline__ bool begin(const Tile& tile) {
    own = tile.owned_row() < 0 ? 0 : load_shared(counts + start + tile.owned_row());
    return true;
  }

  // Rows of one component need neither be counted nor joined: both have enough.
  __device__ __forceinline__ bool wants(const Tile& tile, int i, int column) const {
    return find_root(parent, row_number(tile, start, i)) != find_root(parent, column_start + column);
  }

  __device__ __forceinline__ void take(const Tile& tile, int panel, const unsigned (&found)[FRAGMENT_ROWS]) {
    int more = 0;
    unsigned rest = 0;
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      int count = __popc(found[i]);
#pragma unroll
      for (int step = ROW_LANES / 2; step > 0; step /= 2) count += __shfl_xor_sync(ALL_LANES, count, step);
      if (owned() == i) more = count;
      rest |= found[i];
    }
    if (more > 0 && own < enough) own = atomicAdd(counts + start + tile.owned_row(), more) + more;
    int known[FRAGMENT_ROWS];
    from_owners(own, known);
    // Each lane takes one of its columns at a time; all append together.
    while (__any_sync(ALL_LANES, rest != 0)) {
      const unsigned mark = rest & -rest;
      const int column = column_start + number_of(panel, max(__ffs(mark) - 1, 0));
      bool core = false;
      if (mark != 0) {
        int count = load_shared(counts + column), in_column = 0;
#pragma unroll
        for (int i = 0; i < FRAGMENT_ROWS; i++) in_column += (found[i] & mark) != 0;
        if (count < enough) count = atomicAdd(counts + column, in_column) + in_column;
        core = count >= enough;
      }
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++) {
        const int row = row_number(tile, start, i);
        const bool neighbors = (found[i] & mark) != 0, both = core && known[i] >= enough;
        if (neighbors && both) join(parent, row, column);
        remember(neighbors && !both, row, column, pairing.item(tile.first, panel));
      }
      rest &= rest - 1;
    }
  }

  // By the whole warp, for those that have a pair. The list's length is looked at first, so that it cannot overflow.
  __device__ __forceinline__ void remember(bool pair, int row, int column, int item) {
    if (!__any_sync(ALL_LANES, pair)) return;
    const bool room = load_shared(listed) < capacity;
    const int place = append(listed, pair && room);
    if (!pair) return;
    if (room && place < capacity) {
      pairs[place] = make_int2(row, column);
    } else {
      atomicOr(listed + 1, 1);
      atomicOr(missed + item, 1);
    }
  }

  __device__ __forceinline__ void end(const Tile&) {}
};

struct Weighing {
  int start, column_start;
  const long long* values;
  long long* sums;
  long long total[FRAGMENT_ROWS];

  __device__ __forceinline__ bool begin(const Tile&) {
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) total[i] = 0;
    return true;
  }

  __device__ __forceinline__ bool wants(const Tile&, int, int) const { return true; }

  __device__ __forceinline__ void take(const Tile& tile, int panel, const unsigned (&found)[FRAGMENT_ROWS]) {
    for_each(found, panel, [&](int i, int column) {
      total[i] += values[column_start + column];
      add64(sums + column_start + column, values[row_number(tile, start, i)]);
    });
  }

  __device__ __forceinline__ void end(const Tile& tile) {
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++)
      if (total[i] != 0) add64(sums + row_number(tile, start, i), total[i]);
  }
};

template <class Meaning>
struct Following {
  int start, column_start;
  Meaning meaning;

  __device__ __forceinline__ bool begin(const Tile& tile) const {
    return tile.owned_row() >= 0 && meaning.concerns(start + tile.owned_row());
  }

  __device__ __forceinline__ bool wants(const Tile& tile, int i, int column) const {
    return meaning.matters(row_number(tile, start, i), column_start + column);
  }

  __device__ __forceinline__ void take(const Tile& tile, int panel, const unsigned (&found)[FRAGMENT_ROWS]) const {
    for_each(found, panel,
             [&](int i, int column) { meaning.apply(row_number(tile, start, i), column_start + column); });
  }

  __device__ __forceinline__ void end(const Tile&) const {}
};

// What `scan` of tile.cuh visits.
template <class Use>
struct Comparing {
  Neighbors neighbors;
  Use use;

  __device__ __forceinline__ void begin(const Tile& tile) { neighbors.begin(tile, use.begin(tile)); }
  __device__ __forceinline__ void panel(const Tile& tile, int number, const Scores& scores) {
    unsigned marks[FRAGMENT_ROWS];
    if (!neighbors.mark(number, scores, marks)) return;
    neighbors.decide(tile, number, scores, marks, [&](int i, int column) { return use.wants(tile, i, column); });
    use.take(tile, number, marks);
  }
  __device__ __forceinline__ void end(const Tile& tile) { use.end(tile); }
};

// What all kernels are given, and what they make of it.
#define BLOCKS_OF_ROWS                                                                                           \
  const SCREEN *T, int width, const float *norms, const float *slacks, int m, int start, const SCREEN *Y,        \
      const float *constants, const float *twice, int n, int column_start, const ROW *x, const ROW *y, int d,    \
      double scale, double limit, float below, float above, float spread, int span, const int *chosen
#define PAIRING {{T, Y, constants, width, n}, m, span, start == column_start, chosen}
#define NEIGHBORS {x, y, d, scale, limit, norms, slacks, twice, below, above, spread, pairing}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) count_pairs(
    BLOCKS_OF_ROWS, int enough, int* counts, int* parent, int2* pairs, int capacity, int* listed, int* missed) {
  const Pairing pairing = PAIRING;
  const Counting counting = {start, column_start, enough, counts, parent, pairs, capacity, listed, missed, pairing};
  Comparing<Counting> comparing = {NEIGHBORS, counting};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) weigh_pairs(
    BLOCKS_OF_ROWS, const long long* values, long long* sums) {
  const Pairing pairing = PAIRING;
  Comparing<Weighing> comparing = {NEIGHBORS, {start, column_start, values, sums}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) link_pairs(
    BLOCKS_OF_ROWS, const unsigned char* core, int* parent) {
  const Pairing pairing = PAIRING;
  Comparing<Following<Link>> comparing = {NEIGHBORS, {start, column_start, {core, parent}}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) claim_pairs(
    BLOCKS_OF_ROWS, const unsigned char* core, int* labels) {
  const Pairing pairing = PAIRING;
  Comparing<Following<Claim>> comparing = {NEIGHBORS, {start, column_start, {core, labels}}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

// DBSCAN by tiles: what is done with the neighbours among two blocks of rows, each pair of which is looked at once.
// Protocol and order of calls: Pairs in gpuclust/engines/neighborhood.py.
//
// T (m, width), norms, slacks (m): rows, of which the i-th is number start + order[i]. Y (n, width), constants, twice (n
//   rounded up to whole panels): columns, the i-th number column_start + column_order[i]; Y is T where both are the same.
//   x (m, d), y (n, d) ROW are what canonical distances are computed from, in the order of numbers. limit, below, above,
//   spread: neighbors.cuh. near, counts, most, first_tile, n_tiles, span: pairing.cuh, of dbscan_boxes.cu. Everything
//   below has an entry for each row of all blocks.
// count_pairs: counts += neighbours, up to `enough` at least. Pairs whose rows both have enough are joined in `parent`;
//   the others are appended to pairs (capacity) as int2, listed[0] of them. Where there is no room, listed[1] and
//   missed, by tile and `range` panels, become 1. No more than n (enough - 2) pairs are ever appended: each counts for a row that
//   had fewer than `enough` then, and counted this one first.
// weigh_pairs: sums += values of the neighbours, int64.
// link_pairs: joins the core rows among neighbours.
// claim_pairs: labels of other rows are lowered to those of core neighbours; as unsigned, so that -1 is the highest.
// Launch: persistent blocks of THREADS, shared memory as tile.cuh says. Parallel over tiles and spans.
//
// Traffic: as settle: a tile reads its rows once a span and all near columns, from L2, 2 d / TILE_ROWS or 4 d / TILE_ROWS
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

// Place, in its block, of this thread's column j of a panel.
__device__ __forceinline__ int place_of(int panel, int j) {
  return panel * PANEL + static_cast<int>(tile_column(lane_of(), j));
}

// Where the rows of a block are in the data: places in the order of the screen become numbers.
struct Numbers {
  int start;
  const int* order;

  __device__ __forceinline__ int of(int place) const { return start + order[place]; }
  // Of this thread's row i; dead ones have the last one's.
  __device__ __forceinline__ int of_row(const Tile& tile, int i) const { return of(tile.numbers[tile_row(lane_of(), i)]); }
};

// act(i, place of the column) for every neighbour, by each lane for its own.
template <class Act>
__device__ __forceinline__ void for_each(const unsigned (&found)[FRAGMENT_ROWS], int panel, Act act) {
#pragma unroll
  for (int i = 0; i < FRAGMENT_ROWS; i++)
#pragma unroll 1
    for (unsigned rest = found[i]; rest != 0; rest &= rest - 1)
      act(i, place_of(panel, __ffs(rest) - 1));
}

struct Counting {
  Numbers rows, columns;
  int enough;
  int *counts, *parent;
  int2* pairs;
  int capacity;
  int *listed, *missed;
  int range, n_ranges;
  int own;  // count of the owned row, when last looked at

  __device__ __forceinline__ bool begin(const Tile& tile) {
    own = tile.owned_row() < 0 ? 0 : load_shared(counts + rows.of(tile.owned_row()));
    return true;
  }

  // Rows of one component need neither be counted nor joined: both have enough.
  __device__ __forceinline__ bool wants(const Tile& tile, int i, int column) const {
    return find_root(parent, rows.of_row(tile, i)) != find_root(parent, columns.of(column));
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
    if (more > 0 && own < enough) own = atomicAdd(counts + rows.of(tile.owned_row()), more) + more;
    int known[FRAGMENT_ROWS];
    from_owners(own, known);
    // Each lane takes one of its columns at a time; all append together.
    while (__any_sync(ALL_LANES, rest != 0)) {
      const unsigned mark = rest & -rest;
      const int column = mark == 0 ? 0 : columns.of(place_of(panel, __ffs(mark) - 1));
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
        const int row = rows.of_row(tile, i);
        const bool neighbors = (found[i] & mark) != 0, both = core && known[i] >= enough;
        if (neighbors && both) join(parent, row, column);
        remember(neighbors && !both, row, column, tile.first / TILE_ROWS * n_ranges + panel / range);
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
  Numbers rows, columns;
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
      const int number = columns.of(column);
      total[i] += values[number];
      add64(sums + number, values[rows.of_row(tile, i)]);
    });
  }

  __device__ __forceinline__ void end(const Tile& tile) {
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++)
      if (total[i] != 0) add64(sums + rows.of_row(tile, i), total[i]);
  }
};

template <class Meaning>
struct Following {
  Numbers rows, columns;
  Meaning meaning;

  __device__ __forceinline__ bool begin(const Tile& tile) const {
    return tile.owned_row() >= 0 && meaning.concerns(rows.of(tile.owned_row()));
  }

  __device__ __forceinline__ bool wants(const Tile& tile, int i, int column) const {
    return meaning.matters(rows.of_row(tile, i), columns.of(column));
  }

  __device__ __forceinline__ void take(const Tile& tile, int panel, const unsigned (&found)[FRAGMENT_ROWS]) const {
    for_each(found, panel,
             [&](int i, int column) { meaning.apply(rows.of_row(tile, i), columns.of(column)); });
  }

  __device__ __forceinline__ void end(const Tile&) const {}
};

// What `scan` of tile.cuh visits.
template <class Use>
struct Comparing {
  Neighbors neighbors;
  Use use;

  __device__ __forceinline__ void begin(const Tile& tile) { neighbors.begin(tile, use.begin(tile)); }
  __device__ __forceinline__ void panel(const Tile& tile, int place, const Scores& scores) {
    const int number = neighbors.pairing.near[place];
    unsigned marks[FRAGMENT_ROWS];
    if (!neighbors.mark(number, scores, marks)) return;
    neighbors.decide(tile, number, scores, marks, [&](int i, int column) { return use.wants(tile, i, column); });
    use.take(tile, number, marks);
  }
  __device__ __forceinline__ void end(const Tile& tile) { use.end(tile); }
};

// What all kernels are given, and what they make of it.
#define BLOCKS_OF_ROWS                                                                                           \
  const SCREEN *T, int width, const float *norms, const float *slacks, int m, int start, const int *order,       \
      const SCREEN *Y, const float *constants, const float *twice, int n, int column_start,                      \
      const int *column_order, const ROW *x, const ROW *y, int d, double scale, double limit, float below,       \
      float above, float spread, const int *near, const int *counts_near, const int *most, int first_tile,       \
      int n_tiles, int span
#define PAIRING                                                                                                  \
  {{T, Y, constants, width, n}, m, start == column_start, near, counts_near, most, first_tile, n_tiles, span}
#define NEIGHBORS                                                                                                \
  {x, y, order, column_order, d, scale, limit, norms, slacks, twice, below, above, spread, pairing}
#define NUMBERS {start, order}, {column_start, column_order}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) count_pairs(
    BLOCKS_OF_ROWS, int enough, int* counts, int* parent, int2* pairs, int capacity, int* listed, int* missed,
    int range) {
  const Pairing pairing = PAIRING;
  const int n_ranges = (pairing.n_panels() - 1) / range + 1;
  const Counting counting = {NUMBERS, enough, counts, parent, pairs, capacity, listed, missed, range, n_ranges};
  Comparing<Counting> comparing = {NEIGHBORS, counting};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) weigh_pairs(
    BLOCKS_OF_ROWS, const long long* values, long long* sums) {
  const Pairing pairing = PAIRING;
  Comparing<Weighing> comparing = {NEIGHBORS, {NUMBERS, values, sums}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) link_pairs(
    BLOCKS_OF_ROWS, const unsigned char* core, int* parent) {
  const Pairing pairing = PAIRING;
  Comparing<Following<Link>> comparing = {NEIGHBORS, {NUMBERS, {core, parent}}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) claim_pairs(
    BLOCKS_OF_ROWS, const unsigned char* core, int* labels) {
  const Pairing pairing = PAIRING;
  Comparing<Following<Claim>> comparing = {NEIGHBORS, {NUMBERS, {core, labels}}};
  scan(pairing, nullptr, nullptr, [=] { return m; }, comparing);
}

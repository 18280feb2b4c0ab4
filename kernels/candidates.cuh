// Centres whose score reaches a row's limit, and their canonical distances, as they come: nothing is listed or stored.
//
// Every lane marks its own scores; then the warp takes the marked pairs one by one, all lanes computing one canonical
// distance. Any number of candidates is as good as any other, and a row's are all seen by the warp that has the row.
#pragma once
#include "canonical.cuh"

// What canonical distances are computed from.
struct Exact {
  const ROW* x;
  const double* centers;
  int d;
  double scale;

  __device__ __forceinline__ double distance(int row, int center) const {
    const long long width = d;
    return canonical_distance(x + row * width, centers + center * width, d, scale);
  }
};

// marks[i] has bit j for every marked score [i][j] of this thread, and loses them. evaluate(lane, i, j) is called by
// all lanes for every mark of any lane.
template <class Evaluate>
__device__ __forceinline__ void for_marks(unsigned (&marks)[FRAGMENT_ROWS], Evaluate evaluate) {
  for (;;) {
    int mine = -1;
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++)
      if (marks[i] != 0) mine = 32 * i + __ffs(marks[i]) - 1;
    const unsigned marked = __ballot_sync(ALL_LANES, mine >= 0);
    if (marked == 0) return;
    const int source = __ffs(marked) - 1, pair = __shfl_sync(ALL_LANES, mine, source), i = pair / 32;
#pragma unroll
    for (int other = 0; other < FRAGMENT_ROWS; other++)
      if (lane_of() == source && other == i) marks[other] &= marks[other] - 1;
    evaluate(source, i, pair % 32);
  }
}

// limits[i]: of this thread's row i; NaN: every centre is a candidate. evaluate(row in the tile, its owner lane, slot)
// is called by all lanes, slot < n_centers.
template <class Evaluate>
__device__ __forceinline__ void for_candidates(const Scores& scores, const float* limits, const Tile& tile, int panel,
                                               int n_centers, Evaluate evaluate) {
  unsigned marks[FRAGMENT_ROWS];
#pragma unroll
  for (int i = 0; i < FRAGMENT_ROWS; i++) {
    marks[i] = 0;
#pragma unroll
    for (int j = 0; j < FRAGMENT_COLUMNS; j++)
      if (!(scores[i][j] < limits[i])) marks[i] |= 1u << j;
    if (tile_row(lane_of(), i) >= tile.live) marks[i] = 0;
  }
  for_marks(marks, [&](int lane, int i, int j) {
    const int slot = panel * PANEL + tile_column(lane, j);
    if (slot < n_centers) evaluate(tile_row(lane, i), owner_of(lane, i), slot);
  });
}

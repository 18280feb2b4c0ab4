// The neighbours among a tile of rows and a panel of others: gpuclust/engines/neighborhood.py. Of most pairs the score
// says that they are, or are not; the others are decided canonically.
//
// Euclidean: by bounds.cuh, the columns being the centres. Other METRICs: the score is minus the distance of the
// rounded rows. It is off by at most the lengths of what was rounded away, by the triangle inequality, and a slack is
// at least such a length squared, divided by 2 rho. `spread` is the root of 2 rho, for manhattan times the root of d;
// it and the limits include the rounding of the sum.
#pragma once
#include "pairing.cuh"

#include "bounds.cuh"
#include "candidates.cuh"
#include "metric.cuh"

// The distance whose comparison decides, computed by a whole warp: `canonical_distance`, or in its order.
__device__ __forceinline__ double metric_distance(const ROW* x, const ROW* y, int d, double scale) {
#if METRIC == 0
  return canonical_distance(x, y, d, scale);
#else
  double sum = 0.0;
  for (int j = lane_of(); j < d; j += 32) sum = metric_sum(sum, metric_term(widen(x[j]), widen(y[j]), scale));
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) sum = metric_sum(sum, __shfl_xor_sync(ALL_LANES, sum, offset));
  return sum;
#endif
}

// The most that a row's rounding changes distances; not for METRIC 0.
__device__ __forceinline__ float rounding_of(float slack, float spread) { return sqrtf(slack) * spread * GROW; }

struct Neighbors {
  const ROW *x, *y;  // rows and columns, by number
  const int *order, *column_order;  // their numbers, by place
  int d;
  double scale, limit;
  const float *norms, *slacks;  // of rows
  const float* twice;           // of columns, for whole panels
  float below, above, spread;   // the limit in units of the screen, rounded down and up
  const Pairing& pairing;
  float possible[FRAGMENT_ROWS];  // scores from which columns may be neighbours
  float surely;                   // score from which they are, of the owned row

  // Rows that are not `wanted` have no neighbours.
  __device__ __forceinline__ void begin(const Tile& tile, bool wanted) {
    const int row = tile.owned_row();
    float from = INFINITE;
    surely = INFINITE;
    if (row >= 0 && wanted) {
#if METRIC == 0
      from = score_at(norms[row], above, slacks[row]);
      surely = score_within(norms[row], below, slacks[row]);
#else
      const float rounding = rounding_of(slacks[row], spread);
      from = -(above + rounding), surely = rounding - below;
#endif
    }
    from_owners(from, possible);
  }

  // Marks what the screen does not exclude; whether there is anything in the warp.
  __device__ __forceinline__ bool mark(int panel, const Scores& scores, unsigned (&marks)[FRAGMENT_ROWS]) const {
    unsigned any = 0;
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) marks[i] = 0;
#pragma unroll
    for (int j = 0; j < FRAGMENT_COLUMNS; j++) {
      const float more = METRIC == 0 ? 0.0f : twice[panel * PANEL + tile_column(lane_of(), j)];
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++)
        if (!((METRIC == 0 ? scores[i][j] : scores[i][j] + more) < possible[i])) marks[i] |= 1u << j;
    }
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) any |= marks[i];
    return __any_sync(ALL_LANES, any != 0);
  }

  // Leaves the marks of neighbours. A pair that is in doubt, and for which wants(i, column) is false, is none.
  template <class Wants>
  __device__ __forceinline__ void decide(const Tile& tile, int panel, const Scores& scores,
                                         unsigned (&marks)[FRAGMENT_ROWS], Wants wants) const {
    const int lane = lane_of(), first = panel * PANEL;
    float certain[FRAGMENT_ROWS];
    from_owners(surely, certain);
    unsigned doubtful[FRAGMENT_ROWS];
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      if (tile_row(lane, i) >= tile.live) marks[i] = 0;
      doubtful[i] = 0;
    }
    const bool inside = first + PANEL <= pairing.n_centers && !(pairing.same && first < tile.first + TILE_ROWS);
#pragma unroll
    for (int j = 0; j < FRAGMENT_COLUMNS; j++) {
      const int column = first + tile_column(lane, j);
      const float less = twice[column];
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++) {
        if (!inside && (column >= pairing.n_centers || (pairing.same && column <= tile.first + tile_row(lane, i))))
          marks[i] &= ~(1u << j);
        if (!(scores[i][j] - less >= certain[i])) doubtful[i] |= marks[i] & 1u << j;
      }
    }
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      marks[i] &= ~doubtful[i];
#pragma unroll 1
      for (unsigned rest = doubtful[i]; rest != 0; rest &= rest - 1)
        if (!wants(i, first + tile_column(lane, __ffs(rest) - 1))) doubtful[i] &= ~(rest & -rest);
    }
    for_marks(doubtful, [&](int source, int i, int j) {
      const long long row = order[tile.first + tile_row(source, i)], column = column_order[first + tile_column(source, j)];
      const bool near = metric_distance(x + row * d, y + column * d, d, scale) <= limit;
#pragma unroll
      for (int other = 0; other < FRAGMENT_ROWS; other++)
        if (near && lane == source && other == i) marks[other] |= 1u << j;
    });
  }
};

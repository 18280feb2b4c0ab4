// Sums of distances of rows to each run of other rows, and the reverse, in fixed point
// (gpuclust/engines/distance_sums.py): the same bits as every other engine.
//
// add_distances: a (m, d), b (n, d) ROW, run_of_a (m), run_of_b (n) int32, rising -> sums_a (2, n_runs_b, m), sums_b
//   (2, n_runs_a, n) int64, high limbs first, to which it adds. `among`: b is a, sums_b is sums_a, and each pair is
//   looked at once. METRIC: 0 euclidean, 1 manhattan. `high` and `low` are the rounders of the format. Parallel over
//   tiles of 32 rows of a (blockIdx.x, persistent) and shares of b (blockIdx.y, persistent too); 256 threads, a warp
//   has 4 rows and takes 8 columns at a time.
//
// Traffic: rows from L1 and L2; a warp reads 12 elements for 32 pairs and a feature. Bound by 4 float64 operations a
// pair and feature, halved because a pair serves both sums. Fast because 32 distances in registers share every exchange
// of the canonical tree; a lane keeps its row's sum in registers while the run lasts, and the four rows of a warp send
// one addition to a column, eight columns side by side. Integers: any order of warps, shares and blocks gives the same.
// Test: tests/kernels/test_distance_sums.py.
#include "batch.cuh"
#include "metric.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32, ROWS = 4, COLUMNS = 8;

struct Limbs {
  long long high, low;

  __device__ void add(long long* sums, long long limb, long long place) const {
    if (high != 0) add64(sums + place, high);
    if (low != 0) add64(sums + limb + place, low);
  }
};

// Adding a rounder rounds to an integer and leaves it in the low bits of the sum.
__device__ __forceinline__ Limbs limbs_of(double distance, double high, double low) {
  const double rounded = __dadd_rn(distance, high);
  const double rest = __dsub_rn(distance, __dsub_rn(rounded, high));
  return {__double_as_longlong(rounded) - __double_as_longlong(high),
          __double_as_longlong(__dadd_rn(rest, low)) - __double_as_longlong(low)};
}

extern "C" __global__ void __launch_bounds__(THREADS) add_distances(
    const ROW* __restrict__ a, int m, const int* __restrict__ run_of_a, int n_runs_a, const ROW* __restrict__ b, int n,
    const int* __restrict__ run_of_b, int n_runs_b, int d, int among, double scale, double high, double low,
    long long* sums_a, long long* sums_b) {
  const int lane = lane_of();
  const int begin = static_cast<int>(static_cast<long long>(n) * blockIdx.y / gridDim.y);
  const int end = static_cast<int>(static_cast<long long>(n) * (blockIdx.y + 1) / gridDim.y);
  const long long limb_a = static_cast<long long>(n_runs_b) * m, limb_b = static_cast<long long>(n_runs_a) * n;
  const long long stride = static_cast<long long>(gridDim.x) * WARPS * ROWS;
  for (long long tile = (static_cast<long long>(blockIdx.x) * WARPS + threadIdx.x / 32) * ROWS; tile < m;
       tile += stride) {
    const ROW* from[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) from[r] = a + min(tile + r, m - 1ll) * d;
    const long long row = tile + lane / COLUMNS;
    const int my_run = run_of_a[min(row, m - 1ll)];
    const bool one_run = __shfl_sync(ALL_LANES, my_run, 0) == __shfl_sync(ALL_LANES, my_run, 31);
    Limbs mine{0, 0};
    int run = -1;
    // Among themselves, a row looks at those after it: the columns before the first row's have nothing to do here.
    int first = begin;
    if (among && tile >= begin) first += static_cast<int>(min(tile - begin, static_cast<long long>(end - begin)));
    for (; first < end; first += COLUMNS) {
      const ROW* to[COLUMNS];
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) to[c] = b + static_cast<long long>(min(first + c, n - 1)) * d;
      double sums[ROWS * COLUMNS] = {};
      for (int j = lane; j < d; j += 32) {
        double value[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) value[r] = widen(from[r][j]);
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
          const double other = widen(to[c][j]);
#pragma unroll
          for (int r = 0; r < ROWS; r++)
            sums[r * COLUMNS + c] = metric_sum(sums[r * COLUMNS + c], metric_term(value[r], other, scale));
        }
      }
      const double total = canonical_totals(sums, metric_sum);
      const int column = first + lane % COLUMNS;
      const bool counts = row < m && column < end && (!among || column > row);
      Limbs pair = limbs_of(METRIC == 0 ? __dsqrt_rn(total) : total, high, low);
      if (!counts) pair = {0, 0};

      const int next = run_of_b[min(column, n - 1)];
      if (next != run) {
        if (run >= 0 && row < m) mine.add(sums_a, limb_a, run * static_cast<long long>(m) + row);
        mine = {0, 0};
        run = next;
      }
      mine.high += pair.high;
      mine.low += pair.low;

      if (one_run) {
#pragma unroll
        for (int step = COLUMNS; step < 32; step *= 2) {
          pair.high += __shfl_xor_sync(ALL_LANES, pair.high, step);
          pair.low += __shfl_xor_sync(ALL_LANES, pair.low, step);
        }
        if (lane >= COLUMNS) pair = {0, 0};
      }
      if (column < end) pair.add(sums_b, limb_b, my_run * static_cast<long long>(n) + column);
    }
    if (run >= 0 && row < m) mine.add(sums_a, limb_a, run * static_cast<long long>(m) + row);
  }
}

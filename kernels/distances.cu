// Canonical distances of rows to centres, and of pairs of rows (gpuclust/engines/canonical.py): float64, the same bits
// as every other engine.
//
// own_distances: x (m, d) ROW, centers (k, d) float64, labels (m) int32 or null for centre 0 -> out (m) float64.
//   Parallel over rows, 32 a warp. Persistent grid of 256 threads.
// pairwise: x, centers -> out (m, k) float64, in the metric METRIC of metric.cuh, which own_distances has none of but the
//   euclidean one. Parallel over tiles of 32 rows (blockIdx.x, persistent) and of 8 centres
//   (blockIdx.y, persistent too); 256 threads, a warp has 4 rows of its tile.
// listed_distances: x (n, d) ROW, rows (m, d) float64, which (p) int32 of rows, indices (p) int64 of x, or -1 ->
//   out (p) float64, infinity for -1. Parallel over pairs, 32 a warp. Persistent grid of 256 threads.
//
// Traffic: own_distances reads each row once and the centres from L2, 4 d + 12 bytes a row in float32; that is its
// floor. It is fast because 8 distances share the tree that adds up the accumulators. listed_distances reads a row of
// x a pair, wherever it lies, 4 d + 20 bytes in float32, and the others from L2. pairwise writes 8 bytes a pair
// and is bound by 4 float64 operations per pair and column: a warp keeps 32 distances in registers, so that 12 loads
// serve 128 operations, the warps of a block find the centres in L1, and every exchange of the tree serves all 32.
// Test: tests/kernels/test_distances.py.
#include "batch.cuh"
#include "metric.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32, ROWS = 4, CENTERS = 8;

#if METRIC == 0
extern "C" __global__ void __launch_bounds__(THREADS) own_distances(
    const ROW* __restrict__ x, int m, int d, const double* __restrict__ centers, const int* __restrict__ labels,
    double scale, double* __restrict__ out, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  const long long stride = 32ll * gridDim.x * WARPS;
  for (long long first = 32ll * (blockIdx.x * WARPS + threadIdx.x / 32); first < m; first += stride) {
    const int row = static_cast<int>(first) + lane_of();
    const bool valid = row < m;
    const int label = valid && labels != nullptr ? labels[row] : 0;
    const unsigned wanted = __ballot_sync(ALL_LANES, valid);
    const double distance = canonical_distances<8>(wanted, x, row, centers, label, d, scale);
    if (valid) out[row] = distance;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) listed_distances(
    const ROW* __restrict__ x, int d, const double* __restrict__ rows, const int* __restrict__ which,
    const long long* __restrict__ indices, long long pairs, double scale, double* __restrict__ out) {
  const long long stride = 32ll * gridDim.x * WARPS;
  for (long long first = 32ll * (blockIdx.x * WARPS + threadIdx.x / 32); first < pairs; first += stride) {
    const long long pair = first + lane_of();
    const bool valid = pair < pairs;
    const int other = valid ? static_cast<int>(indices[pair]) : -1;
    const unsigned wanted = __ballot_sync(ALL_LANES, other >= 0);
    const double distance = canonical_distances<8>(wanted, x, other, rows, valid ? which[pair] : 0, d, scale);
    if (valid) out[pair] = other >= 0 ? distance : __longlong_as_double(0x7ff0000000000000ll);
  }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS) pairwise(
    const ROW* __restrict__ x, int m, int d, const double* __restrict__ centers, int k, double scale,
    double* __restrict__ out, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  const int lane = lane_of(), warp = threadIdx.x / 32;
  for (long long rows = static_cast<long long>(blockIdx.x) * WARPS * ROWS; rows < m; rows += gridDim.x * WARPS * ROWS) {
    const ROW* from[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) from[r] = x + min(rows + warp * ROWS + r, m - 1ll) * d;
    for (int first = blockIdx.y * CENTERS; first < k; first += gridDim.y * CENTERS) {
      const double* to[CENTERS];
#pragma unroll
      for (int c = 0; c < CENTERS; c++) to[c] = centers + static_cast<long long>(min(first + c, k - 1)) * d;
      double sums[ROWS * CENTERS] = {};
      for (int j = lane; j < d; j += 32) {
        double value[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) value[r] = widen(from[r][j]);
#pragma unroll
        for (int c = 0; c < CENTERS; c++) {
          const double center = to[c][j];
#pragma unroll
          for (int r = 0; r < ROWS; r++)
            sums[r * CENTERS + c] = metric_sum(sums[r * CENTERS + c], metric_term(value[r], center, scale));
        }
      }
      const double total = canonical_totals(sums, metric_sum);
      const long long row = rows + warp * ROWS + lane / CENTERS;
      const int center = first + lane % CENTERS;
      if (row < m && center < k) out[row * k + center] = total;
    }
  }
}

// Canonical distances of rows to centres (gpuclust/engines/canonical.py): float64, the same bits as every other engine.
//
// own_distances: x (m, d) ROW, centers (k, d) float64, labels (m) int32 or null for centre 0 -> out (m) float64.
//   Parallel over rows, 32 a warp. Persistent grid of 256 threads.
// pairwise: x, centers -> out (m, k) float64. Parallel over tiles of 32 rows (blockIdx.x, persistent) and of 8 centres
//   (blockIdx.y, persistent too); 256 threads, a warp has 4 rows of its tile.
//
// Traffic: own_distances reads each row once and the centres from L2, 4 d + 12 bytes a row in float32; that is its
// floor. It is fast because 8 distances share the tree that adds up the accumulators. pairwise writes 8 bytes a pair
// and is bound by 4 float64 operations per pair and column: a warp keeps 32 distances in registers, so that 12 loads
// serve 128 operations, the warps of a block find the centres in L1, and every exchange of the tree serves all 32.
// Test: tests/kernels/test_distances.py.
#include "batch.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32, ROWS = 4, CENTERS = 8;

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
            sums[r * CENTERS + c] = __dadd_rn(sums[r * CENTERS + c], squared_term(value[r], center, scale));
        }
      }
      const double total = canonical_totals(sums);
      const long long row = rows + warp * ROWS + lane / CENTERS;
      const int center = first + lane % CENTERS;
      if (row < m && center < k) out[row * k + center] = total;
    }
  }
}

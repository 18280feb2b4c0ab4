// Several canonical distances by one warp at once: gpuclust/engines/canonical.py. Adding up the 32 accumulators costs
// more than filling them where rows are short; sums that go through the tree together share its steps.
#pragma once
#include "ptx.cuh"
#include "warp.cuh"

__device__ __forceinline__ double squared_term(double x, double c, double scale) {
  const double scaled = __dmul_rn(__dsub_rn(x, c), scale);
  return __dmul_rn(scaled, scaled);
}

// The canonical tree over N sums per lane, N a power of two: lane l receives the total of sum l / (32 / N). Each step
// combines the accumulators l and l + step of every sum; a lane keeps half of its sums as long as it has several.
template <int N, class Combine>
__device__ __forceinline__ double canonical_totals(double (&sums)[N], Combine combine) {
  int left = N;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const bool upper = lane_of() & step;
    left /= 2;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      if (i >= left) break;
      const double kept = upper ? sums[left + i] : sums[i], given = upper ? sums[i] : sums[left + i];
      sums[i] = combine(kept, __shfl_xor_sync(ALL_LANES, given, step));
    }
    if (left == 0) sums[0] = combine(sums[0], __shfl_xor_sync(ALL_LANES, sums[0], step));
  }
  return sums[0];
}

template <int N>
__device__ __forceinline__ double canonical_totals(double (&sums)[N]) {
  return canonical_totals(sums, [](double a, double b) { return __dadd_rn(a, b); });
}

// The canonical distance of x to zero; every lane gets it.
template <class Value>
__device__ __forceinline__ double canonical_square(const Value* x, int d, double scale) {
  double sums[1] = {};
#pragma unroll 4
  for (int j = lane_of(); j < d; j += 32) sums[0] = __dadd_rn(sums[0], squared_term(widen(x[j]), 0.0, scale));
  return canonical_totals(sums);
}

// The canonical distance of row `row` of x to row `center` of centers, for every lane that has its bit in `wanted` (the
// same in all lanes); 0 for the others. The whole warp calls it. PAIRS distances go through the tree together.
template <int PAIRS, class Row, class Center>
__device__ __forceinline__ double canonical_distances(unsigned wanted, const Row* x, int row, const Center* centers,
                                                      int center, int d, double scale) {
  const int lane = lane_of();
  double result = 0.0;
  while (wanted != 0) {
    const Row* from[PAIRS];
    const Center* to[PAIRS];
    int source = 0, mine = -1;
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
      // Too few lanes: the last one's distance is computed again.
      if (wanted != 0) {
        source = __ffs(wanted) - 1;
        wanted &= wanted - 1;
        if (lane == source) mine = p;
      }
      from[p] = x + static_cast<long long>(__shfl_sync(ALL_LANES, row, source)) * d;
      to[p] = centers + static_cast<long long>(__shfl_sync(ALL_LANES, center, source)) * d;
    }
    double sums[PAIRS] = {};
    for (int j = lane; j < d; j += 32) {
#pragma unroll
      for (int p = 0; p < PAIRS; p++)
        sums[p] = __dadd_rn(sums[p], squared_term(widen(from[p][j]), widen(to[p][j]), scale));
    }
    const double total = __shfl_sync(ALL_LANES, canonical_totals(sums), max(mine, 0) * (32 / PAIRS));
    if (mine >= 0) result = total;
  }
  return result;
}

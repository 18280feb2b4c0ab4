// The canonical distance of gpuclust/engines/canonical.py: the same bits as every other engine.
#pragma once
#include "ptx.cuh"
#include "warp.cuh"

// sum_j ((x_j - c_j) * scale)^2 over d elements, computed by a whole warp; every lane receives it. Lane l is
// accumulator l. The tree adds equal pairs in either order, so that all lanes hold the same bits.
template <class Row, class Center>
__device__ __forceinline__ double canonical_distance(const Row* x, const Center* c, int d, double scale) {
  double sum = 0.0;
#pragma unroll 4
  for (int j = lane_of(); j < d; j += 32) {
    const double scaled = __dmul_rn(__dsub_rn(widen(x[j]), widen(c[j])), scale);
    sum = __dadd_rn(sum, __dmul_rn(scaled, scaled));
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) sum = __dadd_rn(sum, __shfl_xor_sync(ALL_LANES, sum, offset));
  return sum;
}

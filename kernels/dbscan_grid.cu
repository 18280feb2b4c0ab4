// Rows on their way into the cells of a grid: their range, coordinates of cells, boxes around sorted rows.
//
// extent: x (m, d) ROW, finite -> low (d), lowered, and high (d), raised, to the smallest and the largest value of each
//   feature as u64 that are ordered like them (`ordered`). At least d threads. Parallel over elements.
// coordinates: x (m, d) -> out (m) int64, the cells' coordinates of one feature: gpuclust/engines/neighborhood.py.
//   Parallel over rows.
// boxes: x (n, d) -> out (n / 32, 2, d) ROW: the smallest and the largest values of every 32 rows; what is left over
//   has none. Parallel over boxes.
// Launch: persistent grids of 256 threads.
//
// Traffic: each reads the rows once, 4 d or 8 d bytes (coordinates a column of them, which for few features is the
// same), and writes 8 a row in coordinates, a sixteenth of what it read in boxes: the floor. Fast because there are no
// atomics per row: in extent all elements of a thread are of one feature. Test: tests/kernels/test_dbscan_grid.py.
#include "grid.cuh"

typedef unsigned long long u64;

constexpr int THREADS = 256;

__device__ __forceinline__ long long thread_number() {
  return static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
}
__device__ __forceinline__ long long n_threads() { return static_cast<long long>(gridDim.x) * THREADS; }

// The bits of a float64, such that integers are ordered as the values are: no denormal is flushed.
__device__ __forceinline__ u64 ordered(ROW x) {
  const u64 bits = static_cast<u64>(__double_as_longlong(widen(x))), sign = 0x8000000000000000ull;
  return bits & sign ? ~bits : bits | sign;
}

extern "C" __global__ void __launch_bounds__(THREADS) extent(
    const ROW* __restrict__ x, long long m, int d, u64* low, u64* high) {
  const long long active = n_threads() / d * d;
  if (thread_number() >= active) return;
  u64 least = ~0ull, most = 0;
#pragma unroll 4
  for (long long i = thread_number(); i < m * d; i += active) {
    const u64 value = ordered(x[i]);
    least = min(least, value);
    most = max(most, value);
  }
  const int feature = static_cast<int>(thread_number() % d);
  atomicMin(low + feature, least);
  atomicMax(high + feature, most);
}

extern "C" __global__ void __launch_bounds__(THREADS) coordinates(
    const ROW* __restrict__ x, int m, int d, int feature, double origin, double inverse_side,
    long long* __restrict__ out) {
#pragma unroll 4
  for (long long i = thread_number(); i < m; i += n_threads())
    out[i] = cell_coordinate(x[i * d + feature], origin, inverse_side);
}

extern "C" __global__ void __launch_bounds__(THREADS) boxes(
    const ROW* __restrict__ x, int n_boxes, int d, ROW* __restrict__ out) {
  for (long long i = thread_number(); i < static_cast<long long>(n_boxes) * d; i += n_threads()) {
    const long long box = i / d;
    const int feature = static_cast<int>(i % d);
    const ROW* column = x + box * BOXED * d + feature;
    ROW low = column[0], high = low;
    for (int r = 1; r < BOXED; r++) {
      const ROW value = column[r * d];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    out[2 * box * d + feature] = low;
    out[(2 * box + 1) * d + feature] = high;
  }
}

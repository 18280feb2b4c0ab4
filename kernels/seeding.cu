// What drawing first centres needs of every row: integer weights, running minima, random numbers.
//
// The integer weight of a row is floor(value * weight * factor): gpuclust/algorithms/seeding.py. weights (n) may be
// null: ones.
// block_totals: values, weights (n) float64 -> out (ceil(n / 1024)) int64, the integer weights summed over blocks of
//   1024 rows. Parallel over blocks, one a warp. No atomics.
// closer: distances (m) float64, labels (m) int32 -> where below nearest (m) float64: nearest = distance, owner (m) =
//   offset + label.
// oversample: nearest, weights (m) -> appends to picked (count, at most m) the rows, in any order, whose random number
//   is below their integer weight * chance. Row i has number start + i of the stream `key`
//   (gpuclust/algorithms/random.py), any start.
// largest: values, weights (n), >= 0 -> bits (1), raised to max(values * weights) as the bits of a float64.
// Launch: persistent grids of 256 threads. Parallel over rows.
//
// Traffic: 8 bytes a row, 16 with weights (closer: 20, and 12 where it changes), each read once: the floor. Fast
// because loads are coalesced, 4 in flight a thread, and nothing is shared between rows but one atomic a warp.
// Test: tests/kernels/test_seeding.py.
#include "warp.cuh"

typedef unsigned long long u64;

constexpr int THREADS = 256, DRAW_BLOCK = 1024;

__device__ __forceinline__ double weighed(const double* values, const double* weights, long long i) {
  return weights == nullptr ? values[i] : __dmul_rn(values[i], weights[i]);
}

__device__ __forceinline__ long long quanta(double weighed_value, double factor) {
  return static_cast<long long>(floor(__dmul_rn(weighed_value, factor)));
}

__device__ __forceinline__ long long thread_number() {
  return static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
}
__device__ __forceinline__ long long n_threads() { return static_cast<long long>(gridDim.x) * THREADS; }

extern "C" __global__ void __launch_bounds__(THREADS) block_totals(
    const double* __restrict__ values, const double* __restrict__ weights, double factor, long long n,
    long long* __restrict__ out, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  for (long long block = thread_number() / 32; block * DRAW_BLOCK < n; block += n_threads() / 32) {
    long long total = 0;
#pragma unroll 4
    for (int step = 0; step < DRAW_BLOCK; step += 32) {
      const long long i = block * DRAW_BLOCK + step + lane_of();
      if (i < n) total += quanta(weighed(values, weights, i), factor);
    }
    for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(ALL_LANES, total, step);
    if (lane_of() == 0) out[block] = total;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) closer(
    const double* __restrict__ distances, const int* __restrict__ labels, int m, int offset,
    double* __restrict__ nearest, int* __restrict__ owner, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
#pragma unroll 4
  for (long long i = thread_number(); i < m; i += n_threads()) {
    const double distance = distances[i];
    if (distance < nearest[i]) {
      nearest[i] = distance;
      owner[i] = offset + labels[i];
    }
  }
}

// SplitMix64's output function.
__device__ __forceinline__ u64 mixed(u64 z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

extern "C" __global__ void __launch_bounds__(THREADS) oversample(
    const double* __restrict__ nearest, const double* __restrict__ weights, int m, double factor, double chance,
    u64 key, long long start, int* __restrict__ picked, int* count, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  constexpr u64 GOLDEN = 0x9E3779B97F4A7C15ull;
  u64 state = key + (static_cast<u64>(start + thread_number()) + 1) * GOLDEN;
  // By whole warps, because they append together.
  for (long long i = thread_number(); i - lane_of() < m; i += n_threads(), state += n_threads() * GOLDEN) {
    bool picks = false;
    if (i < m) {
      const double uniform = __dmul_rn(static_cast<double>(mixed(state) >> 11), 1.0 / 9007199254740992.0);
      picks = uniform < __dmul_rn(static_cast<double>(quanta(weighed(nearest, weights, i), factor)), chance);
    }
    const int place = append(count, picks);
    if (picks) picked[place] = static_cast<int>(i);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) largest(
    const double* __restrict__ values, const double* __restrict__ weights, long long n, u64* bits,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  double most = 0.0;
#pragma unroll 4
  for (long long i = thread_number(); i < n; i += n_threads()) most = fmax(most, weighed(values, weights, i));
  for (int step = 16; step > 0; step /= 2) most = fmax(most, __shfl_xor_sync(ALL_LANES, most, step));
  if (lane_of() == 0 && most > 0.0) atomicMax(bits, static_cast<u64>(__double_as_longlong(most)));
}

// DBSCAN by tiles: what surrounds the tiles of dbscan_tiles.cu: columns for the screen, and remembered pairs.
//
// columns: norms, slacks (n) float32 of rows.cu -> constants, twice (padded) float32, the rows being the columns of a
//   screen. With a gamma, of prepare_rows, as in prepare_centers: the part of a centre. Without: constants 0, and twice
//   the row's rounding, the root of slack times `spread` (neighbors.cuh). Padding: zeros.
// link_listed: pairs (at most capacity) int2, listed (1) of them -> core rows among them joined in parent.
// claim_listed: labels of other rows lowered to those of the core rows among the pairs.
// roots: parent (n) -> out (n) int32, the smallest row of each core row's component; -1 for others.
// Launch: persistent grids of 256 threads. Parallel over rows, or pairs.
//
// Traffic: 16 bytes a row for columns, 9 for roots besides the paths; 8 bytes a pair, and some 10 more at random, from
// L2. That is the floor. Test: tests/kernels/test_dbscan_tiles.py.
#include "links.cuh"
#include "warp.cuh"

constexpr int THREADS = 256;

__device__ __forceinline__ long long thread_number() {
  return static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
}
__device__ __forceinline__ long long n_threads() { return static_cast<long long>(gridDim.x) * THREADS; }

extern "C" __global__ void __launch_bounds__(THREADS) columns(
    const float* __restrict__ norms, const float* __restrict__ slacks, int n, int padded, double gamma, float spread,
    float* __restrict__ constants, float* __restrict__ twice) {
  // norms are to nearest, and the least of them are flushed.
  constexpr double NEAREST = 1.0 / (1 << 24), LEAST = 1.1754943508222875e-38;
  for (long long i = thread_number(); i < padded; i += n_threads()) {
    float constant = 0.0f, error = 0.0f;
    if (i < n && gamma == 0.0) {
      error = __fsqrt_ru(slacks[i]) * spread;
    } else if (i < n) {
      const double norm = norms[i], half = 0.5 * norm, unsure = norm * NEAREST + LEAST;
      const double slack = slacks[i] + half * gamma * 1.02;
      constant = __double2float_ru(slack - half + unsure);
      error = __double2float_ru(slack + unsure + (constant + half));
    }
    constants[i] = constant;
    twice[i] = error;
  }
}

// apply(a, b) of all pairs in the list.
template <class Meaning>
__device__ __forceinline__ void follow(const int2* pairs, int capacity, const int* listed, const Meaning& meaning) {
  const int n = min(*listed, capacity);
  for (long long i = thread_number(); i < n; i += n_threads()) meaning.apply(pairs[i].x, pairs[i].y);
}

extern "C" __global__ void __launch_bounds__(THREADS) link_listed(
    const int2* __restrict__ pairs, int capacity, const int* __restrict__ listed, const unsigned char* core,
    int* parent) {
  follow(pairs, capacity, listed, Link{core, parent});
}

extern "C" __global__ void __launch_bounds__(THREADS) claim_listed(
    const int2* __restrict__ pairs, int capacity, const int* __restrict__ listed, const unsigned char* core,
    int* labels) {
  follow(pairs, capacity, listed, Claim{core, labels});
}

extern "C" __global__ void __launch_bounds__(THREADS) roots(
    int* parent, int n, const unsigned char* __restrict__ core, int* __restrict__ out) {
  for (long long i = thread_number(); i < n; i += n_threads()) out[i] = core[i] ? find_root(parent, i) : -1;
}

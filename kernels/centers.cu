// New centres from the sums of their rows, how far they moved, and whether to go on: the end of an iteration, without
// the host.
//
// means: fixed-point limbs high, low (k, d), weight_high, weight_low (k) int64 -> out (k, d) float64, rounded to
//   float32 with `to_float`; a cluster without weight keeps its centre of old (k, d) and counts in n_empty (1).
//   Parallel over clusters and columns: a block takes 128 columns of a cluster at a time. Persistent grid of 128
//   threads.
// directions: scales centers (k, d) to unit length in place, rounded with `to_float`; one of length zero becomes the
//   old one. `scale` is the frame's. Then `means` must not round. Parallel over centres, one a warp. Persistent grid of
//   256 threads.
// moved: old, updated (k, d) -> squared (k), the canonical distance between them, and grown (k), its root rounded up.
//   As above.
// conclude: one thread. Writes `record` {n_changed, n_empty, shift, halted}, sets halt, leaves n_changed and n_empty
//   zero.
//
// Traffic: 32 bytes an element for means, 24 for directions, 16 for moved, of k d elements: nothing beside the rows,
// and in L2. Fast because no result of an iteration waits for the host. Formulas: canonical.fixed_point and
// gpuclust/engines/cpu/update.py. Test: tests/kernels/test_centers.py.
#include "batch.cuh"
#include "canonical.cuh"

constexpr int THREADS = 256, COLUMNS = 128;
constexpr double OUTWARD = 1.0 / 1048576.0;  // canonical.OUTWARD

struct Outcome {
  long long n_changed, n_empty;
  double shift;
  long long halted;
};

// The float64 of two limbs; 2**bits is the scale of the low one, carried first, so that limbs of equal value give equal
// bits.
__device__ __forceinline__ double fixed_point(long long high, long long low, double scale, double low_scale) {
  const int bits = static_cast<int>(__double_as_longlong(low_scale) >> 52) - 1023;
  const long long rest = low & ((1ll << bits) - 1);
  const double part = __dmul_rn(static_cast<double>(rest), __ddiv_rn(1.0, low_scale));
  const double whole = static_cast<double>(high + (low >> bits));
  return __dmul_rn(__dadd_rn(part, whole), __ddiv_rn(1.0, scale));
}

__device__ __forceinline__ double rounded(double value, int to_float) {
  return to_float ? widen(narrow(value)) : value;
}

extern "C" __global__ void __launch_bounds__(COLUMNS) means(
    const long long* __restrict__ high, const long long* __restrict__ low, const long long* __restrict__ weight_high,
    const long long* __restrict__ weight_low, int k, int d, const double* __restrict__ high_scale, double low_scale,
    double weight_scale, const double* __restrict__ old, int to_float, double* __restrict__ out, int* n_empty,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  const int pieces = (d - 1) / COLUMNS + 1;
  for (long long piece = blockIdx.x; piece < static_cast<long long>(k) * pieces; piece += gridDim.x) {
    const int cluster = static_cast<int>(piece / pieces);
    const int column = static_cast<int>(piece % pieces) * COLUMNS + static_cast<int>(threadIdx.x);
    const double weight = fixed_point(weight_high[cluster], weight_low[cluster], weight_scale, low_scale);
    const bool filled = weight > 0.0;
    if (!filled && column == 0) atomicAdd(n_empty, 1);
    if (column >= d) continue;
    const long long i = static_cast<long long>(cluster) * d + column;
    double mean = old[i];
    if (filled) mean = __ddiv_rn(fixed_point(high[i], low[i], high_scale[column], low_scale), weight);
    out[i] = rounded(mean, to_float);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) directions(
    double* __restrict__ centers, const double* __restrict__ old, int k, int d, double scale, int to_float,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  for (int c = (blockIdx.x * THREADS + threadIdx.x) / 32; c < k; c += gridDim.x * (THREADS / 32)) {
    double* center = centers + static_cast<long long>(c) * d;
    const double* before = old + static_cast<long long>(c) * d;
    const double length = __ddiv_rn(__dsqrt_rn(canonical_square(center, d, scale)), scale);
    for (int j = lane_of(); j < d; j += 32)
      center[j] = rounded(length > 0.0 ? __ddiv_rn(center[j], length) : before[j], to_float);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) moved(
    const double* __restrict__ old, const double* __restrict__ updated, int k, int d, double scale,
    double* __restrict__ squared, double* __restrict__ grown, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  for (int c = (blockIdx.x * THREADS + threadIdx.x) / 32; c < k; c += gridDim.x * (THREADS / 32)) {
    const long long row = static_cast<long long>(c) * d;
    const double distance = canonical_distance(old + row, updated + row, d, scale);
    if (lane_of() == 0) {
      squared[c] = distance;
      grown[c] = __dmul_rn(__dsqrt_rn(distance), 1.0 + OUTWARD);
    }
  }
}

extern "C" __global__ void __launch_bounds__(1) conclude(
    const double* __restrict__ shift, unsigned long long* n_changed, int* n_empty, double tolerance, int keep_empty,
    Outcome* record, int* halt) {
  if (*halt) return;
  const bool stays = *n_changed == 0 || *shift <= tolerance, misses = *n_empty > 0 && !keep_empty;
  record->n_changed = static_cast<long long>(*n_changed);
  record->n_empty = *n_empty;
  record->shift = *shift;
  record->halted = stays || misses;
  *halt = stays || misses;
  *n_changed = 0;
  *n_empty = 0;
}

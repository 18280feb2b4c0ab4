// Densities of Gaussian mixtures and the moments of their components. Formulas: gpuclust/engines/mixture.py.
//
// turn: x (m, d) ROW -> columns (d, m) float64. Grid (m / 32, any y <= d / 32), 256 threads.
// log_joint: columns, means (k, d), factors (k, height, stride) and constants (k) float64 -> joint (k, m): logarithm of
//   weight times density. height: d, upper triangular, or 1, diagonal; stride: d up to a multiple of 8, zeros beyond d.
//   Grid (m / 128, any y <= k), 128 threads, a thread a row.
// normalize: joint (k, m) -> responsibilities in its place, labels (m) int32, densities (m). Grid m / 128, 128 threads,
//   a thread a row.
// moments: x, means, joint (k, m), pairs left, right (p) int32, rounders (2, p) -> limbs (2, k, p) int64 += the sums.
//   Rows with responsibilities below `cutoff` would add nothing. Grid (k * groups, y), groups = ceil(p / 128), 128
//   threads, a thread a pair; 8 tile (d + 2) bytes of dynamic shared memory. Parallel over components, pairs and rows.
//
// Traffic a row: 8 d written once and read from L2 by every component, 8 k written and read five times, and in moments
// 4 d or 8 d for each component and group of pairs, from L2. Bound by float64: d**2 operations for a component in
// log_joint, 4 for every pair in moments. Fast because eight columns share every element of a row, which neighbouring
// threads read side by side; rows that are nothing to a component cost a comparison; a thread keeps its pair's sums in
// registers and adds once to global memory. Integers: any order of rows and blocks gives the same.
// Test: tests/kernels/test_mixture.py.
#include "ptx.cuh"
#include "quad.cuh"
#include "warp.cuh"

constexpr int THREADS = 128, COLUMNS = 8, SQUARE = 32;
constexpr double MOST = 1e300, LEAST = -708.0, ROUNDER = 6755399441055744.0;
constexpr double LOG2E = 1.44269504088896338700e00;
constexpr double LN2 = 6.93147180369123816490e-01, LN2_REST = 1.90821492927058770002e-10;
constexpr long long ROOT_HALF = 0x3fe6a09e00000000ll;

__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ double minus(double a, double b) { return __dsub_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }

// exp of x <= 0, zero below LEAST: Taylor's polynomial and a power of two.
__device__ __forceinline__ double exp_of(double x) {
  constexpr double terms[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                              1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0,
                              1.0};
  const double shifted = plus(times(x > LEAST ? x : LEAST, LOG2E), ROUNDER), k = minus(shifted, ROUNDER);
  const double u = minus(minus(x > LEAST ? x : LEAST, times(k, LN2)), times(k, LN2_REST));
  double value = terms[0];
#pragma unroll
  for (int i = 1; i < 14; i++) value = plus(times(value, u), terms[i]);
  const unsigned long long power = static_cast<unsigned long long>(__double_as_longlong(shifted)) << 52;
  const unsigned long long bits = static_cast<unsigned long long>(__double_as_longlong(value)) + power;
  return x >= LEAST ? __longlong_as_double(static_cast<long long>(bits)) : 0.0;
}

// log of a normal x > 0, after fdlibm.
__device__ __forceinline__ double log_of(double x) {
  constexpr double terms[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                              2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                              1.479819860511658591e-01};
  const long long bits = __double_as_longlong(x), k = (bits - ROOT_HALF) >> 52;
  const double f = minus(__longlong_as_double(bits - k * (1ll << 52)), 1.0);
  const double s = __ddiv_rn(f, plus(2.0, f)), z = times(s, s), w = times(z, z);
  const double odd = times(w, plus(terms[1], times(w, plus(terms[3], times(w, terms[5])))));
  const double even =
      times(z, plus(terms[0], times(w, plus(terms[2], times(w, plus(terms[4], times(w, terms[6])))))));
  const double half = times(times(0.5, f), f), power = static_cast<double>(k);
  const double rest = plus(times(s, plus(half, plus(odd, even))), times(power, LN2_REST));
  return minus(times(power, LN2), minus(minus(half, rest), f));
}

extern "C" __global__ void __launch_bounds__(256) turn(
    const ROW* __restrict__ x, int m, int d, double* __restrict__ columns) {
  __shared__ double tile[SQUARE][SQUARE + 1];
  const int lane = threadIdx.x % SQUARE, from = threadIdx.x / SQUARE, first = blockIdx.x * SQUARE;
  for (int feature = blockIdx.y * SQUARE; feature < d; feature += gridDim.y * SQUARE) {
    __syncthreads();
    for (int r = from; r < SQUARE; r += 256 / SQUARE)
      if (first + r < m && feature + lane < d)
        tile[r][lane] = widen(x[static_cast<long long>(first + r) * d + feature + lane]);
    __syncthreads();
    for (int j = from; j < SQUARE; j += 256 / SQUARE)
      if (first + lane < m && feature + j < d)
        columns[static_cast<long long>(feature + j) * m + first + lane] = tile[lane][j];
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) log_joint(
    const double* __restrict__ columns, int m, int d, const double* __restrict__ means,
    const double* __restrict__ factors, int height, int stride, const double* __restrict__ constants, int k,
    double* __restrict__ joint) {
  const int row = blockIdx.x * THREADS + threadIdx.x;
  if (row >= m) return;
  for (int c = blockIdx.y; c < k; c += gridDim.y) {
    const double* mean = means + static_cast<long long>(c) * d;
    const double* factor = factors + static_cast<long long>(c) * height * stride;
    double total = 0.0;
    if (height == 1) {
      for (int j = 0; j < d; j++) {
        const double y = times(minus(columns[static_cast<long long>(j) * m + row], mean[j]), factor[j]);
        total = plus(total, times(y, y));
      }
    } else {
      for (int base = 0; base < d; base += COLUMNS) {
        double y[COLUMNS] = {};
        for (int i = 0; i < min(base + COLUMNS, d); i++) {
          const double z = minus(columns[static_cast<long long>(i) * m + row], mean[i]);
#pragma unroll
          for (int q = 0; q < COLUMNS; q += 4) {
            const Quad<double> elements = load_quad(factor + static_cast<long long>(i) * stride + base + q);
#pragma unroll
            for (int r = 0; r < 4; r++) y[q + r] = plus(y[q + r], times(z, elements.of[r]));
          }
        }
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) total = plus(total, times(y[q], y[q]));
      }
    }
    // Whatever overflowed, NaN too, is as far away as can be.
    joint[static_cast<long long>(c) * m + row] = minus(constants[c], times(0.5, total < MOST ? total : MOST));
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) normalize(
    double* __restrict__ joint, int m, int k, int* __restrict__ labels, double* __restrict__ densities) {
  const int row = blockIdx.x * THREADS + threadIdx.x;
  if (row >= m) return;
  double top = joint[row], total = 0.0;
  int label = 0;
  for (int c = 1; c < k; c++) {
    const double value = joint[static_cast<long long>(c) * m + row];
    if (value > top) {
      top = value;
      label = c;
    }
  }
  for (int c = 0; c < k; c++) {
    const long long place = static_cast<long long>(c) * m + row;
    const double value = exp_of(minus(joint[place], top));
    joint[place] = value;
    total = plus(total, value);
  }
  labels[row] = label;
  densities[row] = plus(top, log_of(total));
  const double inverse = __ddiv_rn(1.0, total);
  for (int c = 0; c < k; c++) {
    const long long place = static_cast<long long>(c) * m + row;
    joint[place] = times(joint[place], inverse);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, 8) moments(
    const ROW* __restrict__ x, int m, int d, const double* __restrict__ means, const double* __restrict__ joint,
    double cutoff, const int* __restrict__ left, const int* __restrict__ right, int pairs, int groups,
    const double* __restrict__ rounders, int tile, int k, long long* limbs) {
  extern __shared__ double room[];
  const int width = d + 1, c = blockIdx.x / groups, pair = blockIdx.x % groups * THREADS + threadIdx.x;
  double* share = room + static_cast<long long>(tile) * width;
  const double *mean = means + static_cast<long long>(c) * d, *mine = joint + static_cast<long long>(c) * m;
  const int own = min(pair, pairs - 1), i = left[own], j = right[own];
  const double up = rounders[own], down = rounders[pairs + own];
  long long high = 0, low = 0;
  for (long long first = static_cast<long long>(blockIdx.y) * tile; first < m;
       first += static_cast<long long>(gridDim.y) * tile) {
    const int n = static_cast<int>(min(static_cast<long long>(tile), m - first));
    __syncthreads();
    for (int r = threadIdx.x; r < n; r += THREADS) share[r] = mine[first + r];
    __syncthreads();
    for (int e = threadIdx.x; e < n * width; e += THREADS) {
      const int r = e / width, feature = e % width - 1;
      if (share[r] >= cutoff)
        room[e] = feature < 0 ? 1.0 : minus(widen(x[(first + r) * d + feature]), mean[feature]);
    }
    __syncthreads();
    for (int r = 0; r < n; r++) {
      if (!(share[r] >= cutoff)) continue;
      const double value = times(times(share[r], room[r * width + i]), room[r * width + j]);
      const double rounded = plus(value, up);
      // Adding a rounder leaves an integer in the low bits of the sum.
      high += __double_as_longlong(rounded) - __double_as_longlong(up);
      low += __double_as_longlong(plus(minus(value, minus(rounded, up)), down)) - __double_as_longlong(down);
    }
  }
  if (pair >= pairs) return;
  const long long place = static_cast<long long>(c) * pairs + pair;
  if (high != 0) add64(limbs + place, high);
  if (low != 0) add64(limbs + static_cast<long long>(k) * pairs + place, low);
}

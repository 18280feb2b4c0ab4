// Rows and centres before the screen: their range, their rounded copies with bounds of the rounding, unit length.
//
// survey: x (m, d) ROW -> column_max_bits (d), raised to the bits of max|x| as float64, and first_bad (1), lowered to
//   the flat index row * d + column of the first value that is not finite. Parallel over elements. Grid of 256 threads,
//   at least d in all.
// prepare_rows: t = (x - origin) * factor in float64, T = t rounded to SCREEN (m, width), width = d rounded up to a
//   multiple of 16, zeros beyond d. norms (m) = |t|^2 to nearest and slacks (m) float32 = E >= (rho + gamma) |t|^2 / 2
//   + |t - T|^2 / (2 rho) + tiny.
// prepare_centers: the same of c (k, d) float64, row `slot` that of centre order[slot], to Y (kp, width); constants
//   (kp) float32 >= E - |y|^2 / 2 and twice (kp) >= E + constants + |y|^2 / 2. Slots from k to kp are padding: zeros,
//   -1e30, 0.
// unit_rows: x (m, d) -> out (m, d) ROW of unit length, the bits of CpuEngine.unit_rows; first_zero (1) lowered to the
//   first row that is zero, which is not written. Parallel over rows, one a warp.
// Launch: persistent grids of 256 threads. In prepare 4 to 32 lanes take a row, 4 columns each.
//
// Traffic: survey reads 4 d bytes a row in float32; prepare_rows and unit_rows also write 2 d or 4 d. That is the
// floor. Fast because the loads of survey ignore the shape of the matrix: a thread's columns repeat, so that it keeps
// their maxima in registers (as integers, where NaN is above infinity: no test per value). Test:
// tests/kernels/test_rows.py.
#include <cuda_fp16.h>

#include "batch.cuh"
#include "quad.cuh"

typedef unsigned long long u64;

constexpr int THREADS = 256, QUADS_AHEAD = 16 / sizeof(ROW);

// |value| as an integer of the same order.
__device__ __forceinline__ unsigned magnitude(float value) { return __float_as_uint(value) & 0x7fffffffu; }
__device__ __forceinline__ u64 magnitude(double value) {
  return static_cast<u64>(__double_as_longlong(value)) & 0x7fffffffffffffffull;
}
__device__ __forceinline__ bool is_finite(unsigned bits) { return bits < 0x7f800000u; }
__device__ __forceinline__ bool is_finite(u64 bits) { return bits < 0x7ff0000000000000ull; }
__device__ __forceinline__ double value_of(unsigned bits) { return widen(__uint_as_float(bits)); }
__device__ __forceinline__ double value_of(u64 bits) { return __longlong_as_double(static_cast<long long>(bits)); }

typedef decltype(magnitude(ROW())) Magnitude;

extern "C" __global__ void __launch_bounds__(THREADS) survey(
    const ROW* __restrict__ x, long long m, int d, u64* column_max_bits, u64* first_bad) {
  __shared__ Magnitude largest[4 * THREADS];
  // 4 * active threads elements are a whole number of rows: element i of a thread's quads is always of the same column.
  const long long n = m * d, active = static_cast<long long>(gridDim.x) * THREADS / d * d;
  const long long thread = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
  // Where x is not aligned, a thread's four elements lie `active` apart instead of side by side.
  const bool aligned = quads(x, 4);
  const long long origin = aligned ? 4 * thread : thread, apart = aligned ? 1 : active;
  Magnitude most[4] = {};
  if (thread < active) {
#pragma unroll QUADS_AHEAD
    for (long long at = origin; at < n; at += 4 * active) {
      Quad<ROW> value = {};
      if (aligned && at + 4 <= n) {
        value = load_quad(x + at);
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (at + i * apart < n) value.of[i] = x[at + i * apart];
      }
#pragma unroll
      for (int i = 0; i < 4; i++) most[i] = max(most[i], magnitude(value.of[i]));
    }
    if (!is_finite(max(max(most[0], most[1]), max(most[2], most[3])))) {
      // Seldom: look again for the first one.
      long long bad = n;
#pragma unroll 1
      for (long long at = origin; at < n; at += 4 * active)
#pragma unroll 1
        for (long long i = at; i < min(n, at + 4 * apart); i += apart)
          if (!is_finite(magnitude(x[i]))) bad = min(bad, i);
      atomicMin(first_bad, static_cast<u64>(bad));
    }
  }
  // The block's elements, in the order of their columns, which repeat every d.
  const int kinds = aligned ? 4 : 1, n_entries = kinds * THREADS;
  if (!aligned) most[0] = max(max(most[0], most[1]), max(most[2], most[3]));
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (i < kinds) largest[kinds * threadIdx.x + i] = most[i];
  __syncthreads();
  const int before = static_cast<int>(static_cast<long long>(blockIdx.x) * n_entries % d);
  for (int entry = threadIdx.x; entry < min(d, n_entries); entry += THREADS) {
    Magnitude bits = 0;
    for (int i = entry; i < n_entries; i += d) bits = max(bits, largest[i]);
    atomicMax(column_max_bits + (before + entry) % d, static_cast<u64>(__double_as_longlong(value_of(bits))));
  }
}

__device__ __forceinline__ void put(float* to, double value) { *to = narrow(value); }
__device__ __forceinline__ void put(double* to, double value) { *to = value; }

// t as the screen sees it, within its range. Denormal float32 would be flushed by the products: better zero from the
// start.
__device__ __forceinline__ SCREEN screened(double t) {
#if SCREEN_HALF
  return __float2half_rn(narrow(fmax(-65504.0, fmin(65504.0, t))));
#else
  const double largest = 3.4028234663852886e38, least = 1.1754943508222875e-38;
  return fabs(t) < least ? 0.0f : narrow(fmax(-largest, fmin(largest, t)));
#endif
}
__device__ __forceinline__ double unscreened(__half value) { return widen(__half2float(value)); }
__device__ __forceinline__ double unscreened(float value) { return widen(value); }

// The least float32 not below value; a positive one is normal, since a denormal may be flushed to zero.
__device__ __forceinline__ float rounded_up(double value) {
  return __double2float_ru(value > 0.0 ? fmax(value, 1.1754943508222875e-38) : value);
}

struct Squares {
  double norm, residual;

  // E, half of the screen's error that this side answers for: |t.y - T.Y| <= E_row + E_center by the inequality of the
  // means.
  __device__ double slack(double rho, double gamma, double tiny) const {
    return 0.5 * ((rho + gamma) * norm + residual / rho) * 1.01 + tiny;
  }
};

// Lanes that share a row of the screen.
__device__ __forceinline__ int lanes_per_row(int width) {
  return width <= 16 ? 4 : width <= 32 ? 8 : width <= 64 ? 16 : 32;
}

// Writes T for one row, by `group` lanes (all lanes of the warp call it); every lane of the group gets the squares. d =
// 0: zeros.
template <class Value>
__device__ __forceinline__ Squares prepare(
    const Value* row, int d, int width, int group, bool whole_quads, const double* origin, double factor, SCREEN* out) {
  Squares sums = {0.0, 0.0};
  for (int first = 4 * (threadIdx.x & (group - 1)); first < width; first += 4 * group) {
    Quad<Value> value = {};
    if (whole_quads) {
      if (first < d) value = load_quad(row + first);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (first + i < d) value.of[i] = row[first + i];
    }
    Quad<SCREEN> result;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const double t = first + i < d ? (widen(value.of[i]) - origin[first + i]) * factor : 0.0;
      result.of[i] = screened(t);
      const double error = t - unscreened(result.of[i]);
      sums.norm = __fma_rn(t, t, sums.norm);
      sums.residual = __fma_rn(error, error, sums.residual);
    }
    if (out != nullptr) store_quad(out + first, result);
  }
  for (int step = group / 2; step > 0; step /= 2) {
    sums.norm += __shfl_xor_sync(ALL_LANES, sums.norm, step);
    sums.residual += __shfl_xor_sync(ALL_LANES, sums.residual, step);
  }
  return sums;
}

extern "C" __global__ void __launch_bounds__(THREADS) prepare_rows(
    const ROW* __restrict__ x, int m, int d, int width, const double* __restrict__ origin, double factor, double rho,
    double gamma, double tiny, SCREEN* __restrict__ T, float* __restrict__ norms, float* __restrict__ slacks) {
  const int group = lanes_per_row(width);
  const bool whole_quads = quads(x, d);
  const long long stride = static_cast<long long>(gridDim.x) * THREADS / group;
  const long long own = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) / group;
  // The warp stays together: its first row decides.
  for (long long warp_row = own - lane_of() / group; warp_row < m; warp_row += stride) {
    const long long row = warp_row + lane_of() / group;
    const bool valid = row < m;
    const long long from = valid ? row : 0;
    const Squares sums =
        prepare(x + from * d, d, width, group, whole_quads, origin, factor, valid ? T + from * width : nullptr);
    if (valid && (threadIdx.x & (group - 1)) == 0) {
      norms[row] = narrow(sums.norm);
      slacks[row] = rounded_up(sums.slack(rho, gamma, tiny));
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) prepare_centers(
    const double* __restrict__ c, int k, int kp, int d, int width, const int* __restrict__ order,
    const double* __restrict__ origin, double factor, double rho, double gamma, double tiny, SCREEN* __restrict__ Y,
    float* __restrict__ constants, float* __restrict__ twice, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  const int group = lanes_per_row(width);
  const bool whole_quads = quads(c, d);
  const int stride = static_cast<int>(gridDim.x) * THREADS / group;
  const int own = static_cast<int>(blockIdx.x * THREADS + threadIdx.x) / group;
  for (int warp_slot = own - lane_of() / group; warp_slot < kp; warp_slot += stride) {
    const int slot = warp_slot + lane_of() / group;
    const bool valid = slot < kp, padding = slot >= k;
    const double* center = c + static_cast<long long>(padding ? 0 : order[slot]) * d;
    const Squares sums = prepare(center, padding ? 0 : d, width, group, whole_quads, origin, factor,
                                 valid ? Y + static_cast<long long>(slot) * width : nullptr);
    if (!valid || (threadIdx.x & (group - 1)) != 0) continue;
    const double error = sums.slack(rho, gamma, tiny), constant = error - 0.5 * sums.norm;
    constants[slot] = padding ? -1e30f : rounded_up(constant);
    twice[slot] = padding ? 0.0f : rounded_up(error + (widen(rounded_up(constant)) + 0.5 * sums.norm));
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) unit_rows(
    const ROW* __restrict__ x, int m, int d, ROW* __restrict__ out, u64* first_zero) {
  const long long stride = static_cast<long long>(gridDim.x) * (THREADS / 32);
  for (long long row = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) / 32; row < m; row += stride) {
    const ROW* from = x + row * d;
    Magnitude most = 0;
    for (int j = lane_of(); j < d; j += 32) most = max(most, magnitude(from[j]));
    for (int step = 16; step > 0; step /= 2) most = max(most, __shfl_xor_sync(ALL_LANES, most, step));
    if (most == 0) {
      if (lane_of() == 0) atomicMin(first_zero, static_cast<u64>(row));
      continue;
    }
    // By the row's own power of two first, so that its squares neither overflow nor vanish. Denormals need more than
    // one factor.
    int exponent;
    frexp(value_of(most), &exponent);
    const int part = min(-exponent, 1000);
    const double first = ldexp(1.0, part), second = ldexp(1.0, -exponent - part);
    double sums[1] = {0.0};
    for (int j = lane_of(); j < d; j += 32) {
      const double scaled = __dmul_rn(__dmul_rn(widen(from[j]), first), second);
      sums[0] = __dadd_rn(sums[0], __dmul_rn(scaled, scaled));
    }
    const double length = __dsqrt_rn(canonical_totals(sums));
    for (int j = lane_of(); j < d; j += 32) {
      const double scaled = __dmul_rn(__dmul_rn(widen(from[j]), first), second);
      put(out + row * d + j, __ddiv_rn(scaled, length));
    }
  }
}

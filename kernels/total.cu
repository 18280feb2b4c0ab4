// Correctly rounded sums of float64 values, or of products of two, in any order and any number of parts.
//
// add_exact: values (n) and weights (n, or null for ones), finite and >= 0, into bins (136) int64, zero at first. Bin q
//   counts multiples of 2**(32 q - 2148), the square of the least float64: every product of two float64 lies in them
//   without rounding. n < 2**31. Grid: persistent, one warp a block; 34 KiB of static shared memory. Parallel over
//   values.
// round_exact: bins -> out (1), rounded once, to nearest even; leaves the bins zero. One block of one warp.
//
// No carry can be lost: a lane adds less than 2**32 to a bin per value, fewer than 2**31 values make a launch, and what
// a block hands over is below 2**33 a bin, so that 2**30 blocks, of any number of launches, may add to the same bins.
// Traffic: 8 bytes a value (16 with weights) and nothing else; the floor is reading them once. Fast because every lane
// has bins of its own in shared memory: no atomics and no bank conflicts, whatever the values.
// Test: tests/kernels/test_total.py.
typedef unsigned long long u64;

constexpr int DIGITS = 136, AHEAD = 8, LOWEST = -2148;
constexpr u64 DIGIT = 0xffffffffull;

// A float64 >= 0 as mantissa * 2**(exponent - 1075).
struct Parts {
  u64 mantissa;
  int exponent;

  __device__ explicit Parts(double value) {
    const u64 bits = static_cast<u64>(__double_as_longlong(value));
    const int biased = static_cast<int>(bits >> 52) & 0x7ff;
    mantissa = (bits & 0xfffffffffffffull) | (biased > 0 ? 1ull << 52 : 0);
    exponent = max(biased, 1);
  }
};

// Add word * 2**(position + LOWEST) to a lane's bins, which lie 32 apart.
__device__ __forceinline__ void deposit(u64* bins, u64 word, int position) {
  u64* bin = bins + (position >> 5) * 32;
  const int shift = position & 31;
  bin[0] += (word << shift) & DIGIT;
  bin[32] += (word >> (32 - shift)) & DIGIT;
  bin[64] += word >> 32 >> (32 - shift);
}

extern "C" __global__ void __launch_bounds__(32) add_exact(
    const double* __restrict__ values, const double* __restrict__ weights, long long n, long long* __restrict__ bins,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  __shared__ u64 sums[DIGITS * 32];
  const int lane = threadIdx.x;
  u64* mine = sums + lane;
  for (int q = 0; q < DIGITS; q++) mine[q * 32] = 0;

  const long long stride = 32ll * gridDim.x;
  for (long long first = 32ll * blockIdx.x + lane; first < n; first += AHEAD * stride) {
    double value[AHEAD], weight[AHEAD];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const long long i = first + a * stride;
      value[a] = i < n ? values[i] : 0.0;
      weight[a] = i < n && weights != nullptr ? weights[i] : 0.0;
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const Parts v(value[a]);
      if (weights == nullptr) {
        deposit(mine, v.mantissa, v.exponent - 1075 - LOWEST);
        continue;
      }
      const Parts w(weight[a]);
      const int position = v.exponent + w.exponent - 2150 - LOWEST;
      deposit(mine, v.mantissa * w.mantissa, position);
      deposit(mine, __umul64hi(v.mantissa, w.mantissa), position + 64);
    }
  }

  __syncwarp();
  for (int q = lane; q < DIGITS; q += 32) {
    u64 sum = 0;
    for (int i = 0; i < 32; i++) sum += sums[q * 32 + (i + lane) % 32];
    // The topmost digits are never reached: q + 1 is a bin wherever there is something to carry.
    if (sum & DIGIT) atomicAdd(reinterpret_cast<u64*>(bins) + q, sum & DIGIT);
    if (sum >> 32) atomicAdd(reinterpret_cast<u64*>(bins) + q + 1, sum >> 32);
  }
}

// The float64 next to head * 2**exponent, to nearest even, where `more` says that a little is to be added to head (top
// bit set).
__device__ double rounded(u64 head, bool more, int exponent) {
  // Below 2**-1022 fewer bits than 53 are left; below 2**-1075 all round to zero.
  const int spare = max(11, -1074 - exponent);
  if (spare > 64) return 0.0;
  u64 kept = spare == 64 ? 0 : head >> spare;
  const u64 rest = spare == 64 ? head : head & ((1ull << spare) - 1), half = 1ull << (spare - 1);
  if (rest > half || (rest == half && (more || (kept & 1)))) kept++;
  return ldexp(static_cast<double>(kept), exponent + spare);
}

extern "C" __global__ void __launch_bounds__(32) round_exact(
    long long* __restrict__ bins, double* __restrict__ out, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  __shared__ u64 digits[DIGITS];
  for (int q = threadIdx.x; q < DIGITS; q += 32) {
    digits[q] = static_cast<u64>(bins[q]);
    bins[q] = 0;
  }
  __syncwarp();
  if (threadIdx.x > 0) return;
  u64 carry = 0;
  int top = 0, bottom = DIGITS;  // the highest and the lowest digit that is not zero
#pragma unroll 8
  for (int q = 0; q < DIGITS; q++) {
    carry += digits[q];
    digits[q] = carry & DIGIT;
    if (digits[q]) top = q;
    if (digits[q]) bottom = min(bottom, q);
    carry >>= 32;
  }
  if (bottom == DIGITS) {
    *out = 0.0;
    return;
  }
  const u64 third = top > 1 ? digits[top - 2] : 0;
  const u64 pair = digits[top] << 32 | (top > 0 ? digits[top - 1] : 0);
  const int free_bits = __clzll(static_cast<long long>(pair));
  const u64 head = pair << free_bits | third >> (32 - free_bits);
  const bool more = bottom < top - 2 || (third << free_bits & DIGIT) != 0;
  *out = rounded(head, more, 32 * (top - 1) + LOWEST - free_bits);
}

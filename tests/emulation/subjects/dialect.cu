// One kernel for each part of the dialect; tests/kernels/test_emulator.py says what each must give.
#include <cuda_fp16.h>

static_assert(sizeof(float4) == 16 && alignof(float4) == 16 && sizeof(float3) == 12 && alignof(float3) == 4, "vectors");
static_assert(alignof(double2) == 16 && alignof(int2) == 8 && sizeof(__half2) == 4 && alignof(__half2) == 4, "vectors");

extern "C" __global__ void indices(int* out) {
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] = 1000 * block + thread;
}

// Of the value 100 + lane: index, up, down, xor; each in segments of `width` lanes.
extern "C" __global__ void shuffles(int step, int width, int* out) {
  const int lane = threadIdx.x, value = 100 + lane;
  out[lane] = __shfl_sync(0xffffffffu, value, step, width);
  out[32 + lane] = __shfl_up_sync(0xffffffffu, value, step, width);
  out[64 + lane] = __shfl_down_sync(0xffffffffu, value, step, width);
  out[96 + lane] = __shfl_xor_sync(0xffffffffu, value, step, width);
}

// Even and odd lanes go different ways and vote apart.
extern "C" __global__ void votes(const int* values, unsigned* out) {
  const int lane = threadIdx.x;
  const int value = values[lane];
  unsigned* mine = out + lane;
  if (lane % 2) {
    const unsigned mask = 0xaaaaaaaau;
    mine[0] = __ballot_sync(mask, value > 2);
    mine[32] = __reduce_add_sync(mask, value);
  } else {
    const unsigned mask = 0x55555555u;
    mine[0] = __ballot_sync(mask, value > 2);
    mine[32] = __reduce_max_sync(mask, value);
  }
  __syncwarp();
  mine[64] = __match_any_sync(0xffffffffu, value);
  mine[96] = __any_sync(0xffffffffu, value == 7) * 2 + __all_sync(0xffffffffu, value < 9);
}

struct Fragment {
  float a[4];
  short b[3];
};
extern "C" __global__ void gathered(float* out) {
  Fragment mine;
  for (int i = 0; i < 4; i++) mine.a[i] = threadIdx.x + i / 4.0f;
  mine.b[2] = threadIdx.x * 2;
  const auto lanes = emulation::gather(0xffffffffu, mine);
  const int other = 31 - threadIdx.x;
  out[threadIdx.x] = lanes[other].a[3] + lanes[other].b[2];
}

extern "C" __global__ void atomics(int* ints, unsigned* unsigneds, unsigned long long* longs, float* floats, double* doubles,
                                   long long* signed_longs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(ints, 1);
  atomicSub(ints + 1, 2);
  atomicMin(ints + 2, -i);
  atomicMax(ints + 3, i);
  atomicAdd(unsigneds, 3u);
  atomicOr(unsigneds + 1, 1u << i % 32);
  atomicAnd(unsigneds + 2, ~(1u << i % 32));
  atomicXor(unsigneds + 3, 1u << i % 32);
  atomicInc(unsigneds + 4, 9u);
  atomicDec(unsigneds + 5, 9u);
  atomicAdd(longs, 1ull << 40);
  atomicMax(longs + 1, static_cast<unsigned long long>(i) << 33);
  atomicMin(longs + 2, static_cast<unsigned long long>(i) << 33);
  atomicAdd(floats, 0.5f);
  atomicAdd(doubles, 0.25);
  atomicMin(signed_longs, -(1ll << 35) * i);
  atomicMax(signed_longs + 1, (1ll << 35) * i);
  int seen = emulation::load(ints + 4);
  while (true) {  // multiplies by 3 modulo a prime, which commutes
    const int old = atomicCAS(ints + 4, seen, seen * 3 % 10007);
    if (old == seen) break;
    seen = old;
  }
  if (i == 5) ints[5] = atomicExch(ints + 6, 77);
}

// What __syncthreads_or, _and and _count say of the predicate, twice in a row.
extern "C" __global__ void block_votes(const int* predicates, int* out) {
  const int t = threadIdx.x, p = predicates[t];
  for (int round = 0; round < 2; round++) {
    int* mine = out + (round * blockDim.x + t) * 3;
    mine[0] = __syncthreads_or(p) != 0;
    mine[1] = __syncthreads_and(p) != 0;
    mine[2] = __syncthreads_count(p);
  }
}

// Two warps make, two take, a value at a time, with barriers of their own: 1 says "full", 2 says "empty".
extern "C" __global__ void named_barriers(int n, int* out) {
  __shared__ int cell[64];
  const int half = threadIdx.x % 64;
  const bool producer = threadIdx.x < 64;
  for (int i = 0; i < n; i++) {
    if (producer) {
      if (i) emulation::barrier_sync(2, 128);
      cell[63 - half] = i * 100 + half;
      emulation::barrier_arrive(1, 128);
    } else {
      emulation::barrier_sync(1, 128);
      out[i * 64 + half] = cell[half];
      if (i + 1 < n) emulation::barrier_arrive(2, 128);
    }
  }
}

template <int N>
__device__ int of_its_own(int value) {
  __shared__ int cell, others[N][2];
  __shared__ __align__(16) float unset[N];
  if (threadIdx.x == 0) cell = value, others[N - 1][1] = N;
  __syncthreads();
  return cell + 1000 * others[N - 1][1] + (unset[0] == unset[0]);
}
// Every instance of a template has its own arrays, every block has fresh ones, which hold NaN.
extern "C" __global__ void shared_memory(int* out) {
  extern __shared__ __align__(128) unsigned char raw[];
  int* numbers = reinterpret_cast<int*>(raw);
  numbers[threadIdx.x] = threadIdx.x;
  const int a = of_its_own<1>(3), b = of_its_own<2>(4);
  const int again = numbers[(threadIdx.x + 1) % blockDim.x];
  int* mine = out + (blockIdx.x * blockDim.x + threadIdx.x) * 3;
  mine[0] = a;
  mine[1] = b;
  mine[2] = again;
}

// The order in which threads come by, in which they pass a barrier, and in which atomics let others go first.
extern "C" __global__ void ticket(int* next, int* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = atomicAdd(next, 1);
}

// Lands when waited for: before that NaN, then the valid bytes and zeros.
extern "C" __global__ void async_copy(const float* in, float* out) {
  __shared__ __align__(16) float cell[2][4];
  emulation::cp_async<16>(cell[0], in, 8);
  emulation::cp_async_commit();
  emulation::cp_async<16>(cell[1], in + 4);
  emulation::cp_async_commit();
  const auto see = [&](int stage) {
    for (int i = 0; i < 8; i++) out[stage * 8 + i] = cell[i / 4][i % 4];
  };
  see(0);
  emulation::cp_async_wait(1);
  see(1);
  emulation::cp_async_wait(0);
  see(2);
}

extern "C" __global__ void to_half(const float* singles, const double* doubles, int n, __half* from_single,
                                   __half* from_double, float* back) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    from_single[i] = __float2half_rn(singles[i]);
    from_double[i] = __double2half(doubles[i]);
    back[i] = __half2float(__ushort_as_half(i & 0xffff));
  }
}
extern "C" __global__ void half_pairs(const float2* in, int n, __half2* out, float* sums) {
  const int i = threadIdx.x;
  if (i >= n) return;
  out[i] = __floats2half2_rn(in[i].x, in[i].y);
  const float2 back = __half22float2(out[i]);
  sums[i] = back.x + __high2float(out[i]) + __low2float(__halves2half2(__high2half(out[i]), __low2half(out[i])));
}

// Contraction is what is written, and nothing else; each operation under four rounding modes.
extern "C" __global__ void arithmetic(const double* a, const double* b, const double* c, int n, double* out) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const double results[] = {
        a[i] * b[i] + c[i],       __fma_rn(a[i], b[i], c[i]),  __dadd_rn(a[i], b[i]),    __dadd_ru(a[i], b[i]),
        __dadd_rd(a[i], b[i]),    __dadd_rz(a[i], b[i]),       __dmul_ru(a[i], b[i]),    __dmul_rd(a[i], b[i]),
        __ddiv_rn(a[i], b[i]),    __ddiv_ru(a[i], b[i]),       __dsqrt_rn(fabs(a[i])),   __dsqrt_rd(fabs(a[i])),
        __double2float_rn(a[i]),  __double2float_ru(a[i]),     __double2float_rd(a[i]),  __double2float_rz(a[i])};
    for (int j = 0; j < 16; j++) out[i * 16 + j] = results[j];
  }
}

extern "C" __global__ void integers(const float* in, int n, int* ints, unsigned long long* longs) {
  const int i = threadIdx.x;
  if (i >= n) return;
  ints[i * 4] = __float2int_rn(in[i]);
  ints[i * 4 + 1] = __float2int_rz(in[i]);
  ints[i * 4 + 2] = __float2int_ru(in[i]);
  ints[i * 4 + 3] = __float2int_rd(in[i]);
  longs[i * 3] = __umul64hi(0x123456789abcdefull * (i + 1), 0xfedcba9876543210ull);
  longs[i * 3 + 1] = __brev(0x12345678u + i);
  longs[i * 3 + 2] = __popcll(longs[i * 3]) * 10000 + __clz(1 << i) * 100 + __ffs(1 << i);
}

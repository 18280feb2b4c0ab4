// PTX of compute capability 9.0a alone: products by a warpgroup, four warps together, whose operands stay in shared
// memory. Each piece has a body for the emulator, as in ptx.cuh.
//
// Products run beside the threads that began them. Those since the last wgmma_commit form a group; wgmma_wait<N>
// returns when all but the N latest groups of the calling warp are done. Until then their operands must not change, nor
// their scores be touched.
#pragma once
#include "ptx.cuh"
#ifdef GPUCLUST_EMULATED
#include <wgmma.h>
#endif

// ---- Copies as cp_async16, of 8 bytes, and of 16 or, where not `valid`, zeros in their place.
__device__ __forceinline__ void cp_async8(void* shared, const void* global) {
#ifdef GPUCLUST_EMULATED
  emulation::cp_async<8>(shared, global);
#else
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(global) : "memory");
#endif
}

__device__ __forceinline__ void cp_async16_or_zeros(void* shared, const void* global, bool valid) {
#ifdef GPUCLUST_EMULATED
  emulation::cp_async<16>(shared, global, valid ? 16 : 0);
#else
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid ? 16 : 0) : "memory");
#endif
}

// ---- Barrier 1 for `threads` threads, wherever in the code they come to it; orders memory as __syncthreads does.
__device__ __forceinline__ void barrier(int threads) {
#ifdef GPUCLUST_EMULATED
  emulation::barrier_sync(1, threads);
#else
  asm volatile("barrier.sync 1, %0;" ::"r"(threads) : "memory");
#endif
}

// ---- What the calling thread has written to shared memory, landed copies included, becomes visible to wgmma.
__device__ __forceinline__ void fence_proxy_async() {
#ifdef GPUCLUST_EMULATED
  emulation::fence_async_proxy();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// ---- Descriptor of a matrix in shared memory whose rows have 128 bytes, swizzled, 8 rows after 8 rows (PTX ISA,
// "Matrix Descriptor Format"): address / 16 in bits 0-13, bytes / 16 from 8 rows to the next 8 in bits 32-45, 1 in bits
// 62-63 for the swizzle of 128 bytes. The hardware swizzles addresses, bits 4-6 by bits 7-9: columns begin where they
// would without it, and the first of 8 rows at a multiple of 1024 bytes. Here is the low word; add bytes / 16 to it to
// go further.
constexpr unsigned MATRIX_HIGH = 1024 >> 4 | 1u << 30;

__device__ __forceinline__ unsigned matrix_at(const void* shared) {
#ifdef GPUCLUST_EMULATED
  return emulation::shared_address(shared) >> 4 | 1u << 16;
#else
  return static_cast<unsigned>(__cvta_generic_to_shared(shared)) >> 4 | 1u << 16;
#endif
}

// ---- wgmma.m64n128k16: d = a b^T, + d if `accumulate`; a (64 x 16) and b (128 x 16) float16, d (64 x 128) float32.
// Warp w of the warpgroup has rows 16 w..; with g = lane / 4 and t = lane % 4, a lane's d[i][j] is of row g + 8 i there
// and column 8 (j / 2) + 2 t + j % 2 (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16"). Sums as in
// mma_m16n8k16.
#define WGMMA_FOUR(i) "+f"(d[0][2 * i]), "+f"(d[0][2 * i + 1]), "+f"(d[1][2 * i]), "+f"(d[1][2 * i + 1])
#define WGMMA_SCORES                                                                                \
  WGMMA_FOUR(0), WGMMA_FOUR(1), WGMMA_FOUR(2), WGMMA_FOUR(3), WGMMA_FOUR(4), WGMMA_FOUR(5), WGMMA_FOUR(6),             \
      WGMMA_FOUR(7), WGMMA_FOUR(8), WGMMA_FOUR(9), WGMMA_FOUR(10), WGMMA_FOUR(11), WGMMA_FOUR(12), WGMMA_FOUR(13),     \
      WGMMA_FOUR(14), WGMMA_FOUR(15)

__device__ __forceinline__ void wgmma_m64n128k16(float (&d)[2][32], unsigned a, unsigned b, bool accumulate) {
#ifdef GPUCLUST_EMULATED
  const unsigned long long high = static_cast<unsigned long long>(MATRIX_HIGH) << 32;
  emulation::wgmma(d, high | a, high | b, accumulate);
#else
  asm volatile(
      "{.reg .pred more; .reg .b64 a, b; setp.ne.b32 more, %66, 0; mov.b64 a, {%64, %67}; mov.b64 b, {%65, %67}; "
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "a, b, more, 1, 1, 0, 0;}"
      : WGMMA_SCORES
      : "r"(a), "r"(b), "r"(static_cast<int>(accumulate)), "n"(MATRIX_HIGH));
#endif
}

// ---- Before the first product, and wherever the scores of the next were touched.
__device__ __forceinline__ void wgmma_fence() {
#ifdef GPUCLUST_EMULATED
  emulation::wgmma_fence();
#else
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void wgmma_commit() {
#ifdef GPUCLUST_EMULATED
  emulation::wgmma_commit();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// `d` is what the caller waits for: the compiler must not read it earlier.
template <int N>
__device__ __forceinline__ void wgmma_wait(float (&d)[2][32]) {
#ifdef GPUCLUST_EMULATED
  emulation::wgmma_wait(N);
#else
  asm volatile("wgmma.wait_group.sync.aligned %64;" : WGMMA_SCORES : "n"(N) : "memory");
#endif
}

// Every PTX instruction of the kernels, each with a body for the emulator, which runs kernels on a CPU.
#pragma once
#ifdef GPUCLUST_EMULATED
#include <cuda_fp16.h>
#endif

// ---- Conversions that keep denormals. Kernels are compiled with -ftz=true, which flushes them in plain casts.
__device__ __forceinline__ double widen(double value) { return value; }

__device__ __forceinline__ double widen(float value) {
#ifdef GPUCLUST_EMULATED
  return value;
#else
  double wide;
  asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(value));
  return wide;
#endif
}

// To the nearest float32, ties to even.
__device__ __forceinline__ float narrow(double value) {
#ifdef GPUCLUST_EMULATED
  return static_cast<float>(value);
#else
  float result;
  asm("cvt.rn.f32.f64 %0, %1;" : "=f"(result) : "d"(value));
  return result;
#endif
}

// ---- A hint that what lies there will be read: it is brought to the L2 cache.
__device__ __forceinline__ void prefetch(const void* global) {
#ifndef GPUCLUST_EMULATED
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
#endif
}

// ---- Copies of 16 bytes from global to shared memory that run beside the computation. A thread's copies form groups;
// cp_async_wait<N> returns when all but its N latest groups have landed (others see them after a barrier).
__device__ __forceinline__ void cp_async16(void* shared, const void* global) {
#if defined(GPUCLUST_EMULATED)
  emulation::cp_async<16>(shared, global);
#elif __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#if defined(GPUCLUST_EMULATED)
  emulation::cp_async_commit();
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int N>
__device__ __forceinline__ void cp_async_wait() {
#if defined(GPUCLUST_EMULATED)
  emulation::cp_async_wait(N);
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- ldmatrix.x4: four 8 x 8 matrices of 16-bit values. Lane 8i + r passes the address of row r of matrix i (16
// bytes, aligned); lane l receives in out[i] the values 2 (l % 4) and 2 (l % 4) + 1 of row l / 4 of matrix i.
__device__ __forceinline__ void ldmatrix_x4(unsigned out[4], const void* shared_row) {
#ifdef GPUCLUST_EMULATED
  const auto rows = emulation::gather(0xffffffffu, static_cast<const unsigned*>(shared_row), "ldmatrix");
  const int lane = emulation::current->lane;
  for (int i = 0; i < 4; i++) out[i] = rows[8 * i + lane / 4][lane % 4];
#elif __CUDA_ARCH__ >= 750
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(from)
               : "memory");
#endif
}

// ---- mma.m16n8k16: d = a b + c with a (16 x 16) and b (16 x 8) of float16, c and d (16 x 8) of float32.
// With g = lane / 4 and t = lane % 4, a lane holds (PTX ISA, "Matrix Fragments for mma.m16n8k16"), low half first:
//   a[0] = A[g][2t, 2t+1]   a[1] = A[g+8][2t, 2t+1]   a[2] = A[g][2t+8, 2t+9]   a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]   b[1] = B[2t+8, 2t+9][g]
//   c0, c1 = C[g][2t, 2t+1]   c2, c3 = C[g+8][2t, 2t+1], and d likewise.
// Products are exact; sums are of float32 or better, and may be truncated rather than rounded. The emulated body
// truncates.
__device__ __forceinline__ void mma_m16n8k16(float& d0, float& d1, float& d2, float& d3, const unsigned a[4],
                                             const unsigned b[2], float c0, float c1, float c2, float c3) {
#ifdef GPUCLUST_EMULATED
  struct Operands {
    __half a[4][2], b[2][2];
  } mine;
  memcpy(mine.a, a, sizeof mine.a);
  memcpy(mine.b, b, sizeof mine.b);
  const auto lanes = emulation::gather(0xffffffffu, mine, "mma");
  const int g = emulation::current->lane / 4, t = emulation::current->lane % 4;
  double sums[4] = {c0, c1, c2, c3};
  for (int k = 0; k < 16; k++) {
    const int word = k / 8, lane = k % 8 / 2, half = k % 2;
    for (int i = 0; i < 4; i++) {
      const float row = lanes[4 * g + lane].a[2 * word + i / 2][half];
      const float column = lanes[4 * (2 * t + i % 2) + lane].b[word][half];
      sums[i] += static_cast<double>(row * column);
    }
  }
  float* const out[4] = {&d0, &d1, &d2, &d3};
  for (int i = 0; i < 4; i++) {
    const float nearest = static_cast<float>(sums[i]);
    *out[i] = fabs(static_cast<double>(nearest)) > fabs(sums[i]) ? nextafterf(nearest, 0.0f) : nearest;
  }
#elif __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%10, %11, %12, %13};"
      : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c0), "f"(c1), "f"(c2), "f"(c3));
#endif
}

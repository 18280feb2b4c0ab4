// The keywords and built-in variables of CUDA C++.
#pragma once
#include "runtime.h"

#define GPUCLUST_EMULATED 1

#define threadIdx (::emulation::current->thread)
#define blockIdx (::emulation::current->block)
#define blockDim (::emulation::current->block_size)
#define gridDim (::emulation::current->grid_size)
#define warpSize 32

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define __grid_constant__
#define __trap() ::emulation::fail("__trap() at %s:%d", __builtin_FILE(), __builtin_LINE())

namespace emulation {

// source.py turns
//   __shared__ T name[a][b];         into  static char name_key; auto& name = emulation::static_shared<T [a][b]>(&name_key);
//   extern __shared__ T name[];      into  T* const name = emulation::dynamic_shared<T>();
// The key is a static variable so that every instance of a template has its own array, as on the device.
template <class T>
static inline T& static_shared(const void* key) {
  return *static_cast<T*>(shared_memory(key, sizeof(T)));
}
template <class T>
static inline T* dynamic_shared() {
  return reinterpret_cast<T*>(current->dynamic_shared);
}

}  // namespace emulation

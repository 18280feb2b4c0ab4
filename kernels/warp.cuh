// What the lanes of a warp do together, and 64-bit atomics.
#pragma once

constexpr unsigned ALL_LANES = 0xffffffffu;

__device__ __forceinline__ int lane_of() { return threadIdx.x & 31; }

// A place in a list for every lane that has something to append (-1 for the others): one atomic for the warp. All lanes
// must call it.
__device__ __forceinline__ int append(int* count, bool appends) {
  const unsigned takers = __ballot_sync(ALL_LANES, appends);
  if (takers == 0) return -1;
  const int lane = lane_of(), leader = __ffs(takers) - 1;
  int start = 0;
  if (lane == leader) start = atomicAdd(count, __popc(takers));
  start = __shfl_sync(ALL_LANES, start, leader);
  return appends ? start + __popc(takers & ((1u << lane) - 1)) : -1;
}

// Integer addition wraps, so signed and unsigned are the same.
__device__ __forceinline__ void add64(long long* sum, long long value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
}

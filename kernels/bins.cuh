// Lists of rows by bin (cluster, need): how many rows each bin gets, then a place for each row.
//
// `local`: a counter for every bin fits the block's shared memory. The block counts there, with 32-bit atomics that are
// native, and touches the global counters once per bin that it met. Otherwise there are so many bins that global
// atomics seldom meet; lanes of a warp with the same bin share one.
#pragma once
#include "warp.cuh"

struct Bins {
  int* mine;    // shared memory (n), if local
  int* common;  // global memory (n): counts, or the next free place
  int n;
  bool local;

  __device__ void clear() {
    if (!local) return;
    for (int b = threadIdx.x; b < n; b += blockDim.x) mine[b] = 0;
    __syncthreads();
  }

  // Count the lane's bin (-1: none), and return how many stood there before: its place, once places are reserved. For
  // whole warps.
  __device__ int take(int bin) {
    if (local) return bin < 0 ? 0 : atomicAdd(mine + bin, 1);
    const unsigned peers = __match_any_sync(ALL_LANES, bin);
    const int lane = lane_of(), leader = __ffs(peers) - 1;
    const int first = lane == leader && bin >= 0 ? atomicAdd(common + bin, __popc(peers)) : 0;
    return __shfl_sync(ALL_LANES, first, leader) + __popc(peers & ((1u << lane) - 1));
  }

  // Add the block's counts to the common ones.
  __device__ void publish() {
    if (!local) return;
    __syncthreads();
    for (int b = threadIdx.x; b < n; b += blockDim.x)
      if (mine[b] != 0) atomicAdd(common + b, mine[b]);
  }

  // Turn the block's counts into its own places.
  __device__ void reserve() {
    if (!local) return;
    __syncthreads();
    for (int b = threadIdx.x; b < n; b += blockDim.x)
      if (mine[b] != 0) mine[b] = atomicAdd(common + b, mine[b]);
    __syncthreads();
  }
};

// The rows of this block, one run of them, a multiple of the block's threads except at the end.
struct Share {
  int first, end;

  __device__ explicit Share(int m) {
    const long long even = (static_cast<long long>(m) + gridDim.x - 1) / gridDim.x;
    const long long size = (even + blockDim.x - 1) / blockDim.x * blockDim.x;
    first = static_cast<int>(min(static_cast<long long>(m), blockIdx.x * size));
    end = static_cast<int>(min(static_cast<long long>(m), first + size));
  }
};

// Exclusive prefix sum over the block of one value per thread (1024 threads at most); `total` is the block's sum.
__device__ __forceinline__ int block_scan(int value, int* total) {
  __shared__ int sums[32];
  const int lane = lane_of(), warp = threadIdx.x >> 5, n_warps = (blockDim.x + 31) >> 5;
  int inclusive = value;
  for (int step = 1; step < 32; step *= 2) {
    const int below = __shfl_up_sync(ALL_LANES, inclusive, step);
    if (lane >= step) inclusive += below;
  }
  if (lane == 31) sums[warp] = inclusive;
  __syncthreads();
  if (warp == 0) {
    int sum = lane < n_warps ? sums[lane] : 0;
    for (int step = 1; step < 32; step *= 2) {
      const int below = __shfl_up_sync(ALL_LANES, sum, step);
      if (lane >= step) sum += below;
    }
    sums[lane] = sum;
  }
  __syncthreads();
  const int before = warp > 0 ? sums[warp - 1] : 0;
  *total = sums[n_warps - 1];
  __syncthreads();
  return before + inclusive - value;
}

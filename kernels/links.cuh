// What a pair of neighbours means once core rows are known: two core rows are joined, and a core row gives its label to
// another row. matters(a, b): whether apply(a, b) would change anything now; concerns(a): whether any b could matter.
#pragma once
#include "union.cuh"

struct Link {
  const unsigned char* core;
  int* parent;

  __device__ __forceinline__ bool concerns(int row) const { return core[row]; }
  __device__ __forceinline__ bool matters(int a, int b) const {
    return core[a] && core[b] && find_root(parent, a) != find_root(parent, b);
  }
  __device__ __forceinline__ void apply(int a, int b) const {
    if (core[a] && core[b]) join(parent, a, b);
  }
};

// The lowest label wins, as unsigned: -1 is the highest.
struct Claim {
  const unsigned char* core;
  int* labels;

  __device__ __forceinline__ bool concerns(int) const { return true; }
  __device__ __forceinline__ bool matters(int a, int b) const {
    const int from = core[a] ? a : b, to = core[a] ? b : a;
    return core[a] != core[b] && static_cast<unsigned>(labels[from]) < static_cast<unsigned>(load_shared(labels + to));
  }
  __device__ __forceinline__ void apply(int a, int b) const {
    if (!matters(a, b)) return;
    const int from = core[a] ? a : b, to = core[a] ? b : a;
    atomicMin(reinterpret_cast<unsigned*>(labels + to), static_cast<unsigned>(labels[from]));
  }
};

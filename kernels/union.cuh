// Union-find that any number of threads use at once, without locks: the components of a graph whose edges are found
// along the way.
//
// parent (n) starts as 0, 1, 2, ...; a root is its own parent. The smaller root wins, so a component's root is its
// smallest member, whatever the order in which edges are found: results do not depend on scheduling. A link is made by
// compare-and-swap, only from what is still a root; who comes too late looks for the roots again. Paths are halved with
// plain stores: those only skip over what is no root any more, and never will be. (S. Jayanti, R. Tarjan, PODC 2016;
// J. Jaiganesh, M. Burtscher, HPDC 2018.)
#pragma once

// Loads and stores that may meet those of other threads: not kept in registers, and each in one piece.
__device__ __forceinline__ int load_shared(const int* address) {
#ifdef GPUCLUST_EMULATED
  return emulation::load(address);
#else
  return *reinterpret_cast<const volatile int*>(address);
#endif
}

__device__ __forceinline__ void store_shared(int* address, int value) {
#ifdef GPUCLUST_EMULATED
  emulation::store(address, value);
#else
  *reinterpret_cast<volatile int*>(address) = value;
#endif
}

__device__ __forceinline__ int find_root(int* parent, int i) {
  for (int up = load_shared(parent + i); up != i;) {
    const int top = load_shared(parent + up);
    if (top == up) return up;
    store_shared(parent + i, top);
    i = top;
    up = load_shared(parent + i);
  }
  return i;
}

// Put a and b into one component.
__device__ __forceinline__ void join(int* parent, int a, int b) {
  for (;;) {
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a == b) return;
    const int high = max(a, b), low = min(a, b);
    if (atomicCAS(parent + high, high, low) == high) return;
  }
}

// Connected components by lock-free union-find: every root hooks onto the smaller one. BUG plants one mistake.
#ifdef GPUCLUST_EMULATED
#define LOAD(address) emulation::load(address)
#else
#define LOAD(address) (*reinterpret_cast<const volatile int*>(address))
#endif

__device__ __forceinline__ int root(const int* parent, int i) {
  for (int up = LOAD(parent + i); up != i; up = LOAD(parent + i)) i = up;
  return i;
}

extern "C" __global__ void unite(const int2* __restrict__ edges, int n, int* parent) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int a = edges[i].x, b = edges[i].y;
  for (;;) {
    a = root(parent, a);
    b = root(parent, b);
    if (a == b) return;
    const int high = max(a, b), low = min(a, b);
#if BUG == 1  // a plain store: of two links made at once, one is lost
    parent[high] = low;
    return;
#elif BUG == 2  // atomic, but the link that loses is not made elsewhere
    atomicMin(parent + high, low);
    return;
#else
    if (atomicCAS(parent + high, high, low) == high) return;
#endif
  }
}

extern "C" __global__ void label(const int* parent, int n, int* labels) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) labels[i] = root(parent, i);
}

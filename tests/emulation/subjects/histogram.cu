// How often each label occurs: counted by blocks in shared memory, then added up. BUG plants one mistake.
extern "C" __global__ void __launch_bounds__(128) histogram(const int* __restrict__ labels, int n, int k, int* counts) {
  extern __shared__ __align__(128) unsigned char raw[];
  int* mine = reinterpret_cast<int*>(raw);
  for (int i = threadIdx.x; i < k; i += blockDim.x) mine[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
#if BUG == 1  // between threads of a block
    mine[labels[i]] += 1;
#else
    atomicAdd(mine + labels[i], 1);
#endif
  }
  __syncthreads();
  for (int i = threadIdx.x; i < k; i += blockDim.x) {
#if BUG == 2  // between blocks
    counts[i] += mine[i];
#else
    atomicAdd(counts + i, mine[i]);
#endif
  }
}

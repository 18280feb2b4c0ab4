// Planted: sums of floats by atomics. In shared memory the hardware has none: the compiler writes a compare-and-swap loop.
extern "C" __global__ void __launch_bounds__(256) shared_sum(const float* x, float* out) {
  __shared__ float sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, x[threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) *out = sum;
}

extern "C" __global__ void __launch_bounds__(256) global_sum(const float* x, float* out) { atomicAdd(out, x[threadIdx.x]); }

extern "C" __global__ void __launch_bounds__(256) double_sum(const double* x, double* out) { atomicAdd(out, x[threadIdx.x]); }

// 64-bit integers: native in global memory, a loop in shared memory.
extern "C" __global__ void __launch_bounds__(256) shared_integers(const unsigned long long* x, unsigned long long* out) {
  __shared__ unsigned long long sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, x[threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) *out = sum;
}

extern "C" __global__ void __launch_bounds__(256) global_integers(const unsigned long long* x, unsigned long long* out) {
  atomicAdd(out, x[threadIdx.x]);
  atomicMax(out + 1, x[threadIdx.x]);
}

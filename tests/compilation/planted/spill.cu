// Planted: a block of 1024 threads leaves 64 registers to each, and 96 sums are held.
extern "C" __global__ void __launch_bounds__(1024) spill(const float* x, float* out, int n) {
  float sums[96];
#pragma unroll
  for (int j = 0; j < 96; ++j) sums[j] = x[j * blockDim.x + threadIdx.x];
  for (int i = 0; i < n; ++i) {
#pragma unroll
    for (int j = 0; j < 96; ++j) sums[j] = fmaf(sums[j], x[i], sums[(j + i % 2 * 0 + 1) % 96]);
  }
#pragma unroll
  for (int j = 0; j < 96; ++j) out[j * blockDim.x + threadIdx.x] = sums[j];
}

// Planted: an array indexed by what is known at run time only, so that it cannot be held in registers.
extern "C" __global__ void __launch_bounds__(256) local_array(const int* index, const float* x, float* out, int n) {
  float sums[64] = {};
  for (int i = 0; i < n; ++i) sums[index[i] & 63] += x[i];
  for (int j = 0; j < 64; ++j) out[j * blockDim.x + threadIdx.x] = sums[j];
}

// Row numbers from coordinates. BUG plants one mistake.
extern "C" __global__ void locate(const float* __restrict__ x, int n, float scale, int stride, int* __restrict__ cells,
                                  long long* __restrict__ offsets) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
#if BUG == 1  // the device saturates, the host does not
  cells[i] = static_cast<int>(x[i] * scale);
#else
  cells[i] = __float2int_rz(x[i] * scale);
#endif
#if BUG == 2  // a product of ints where the offset needs 64 bits
  offsets[i] = i * stride;
#else
  offsets[i] = i * static_cast<long long>(stride);
#endif
}

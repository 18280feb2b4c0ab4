// Running sums over slices of rows that arrive by cp.async in two buffers: while one is added up, the next is on its way. BUG plants
// one mistake.
#define WIDTH 64

extern "C" __global__ void __launch_bounds__(WIDTH / 4) column_sums(const float* __restrict__ x, int n, float* __restrict__ sums) {
  __shared__ __align__(16) float slices[2][WIDTH];
  const int t = threadIdx.x;
  const auto fetch = [&](int row) {
    if (row < n) emulation::cp_async<16>(&slices[row & 1][4 * t], x + row * (long long)WIDTH + 4 * t);
    emulation::cp_async_commit();
  };
  float sum[4] = {0, 0, 0, 0};
  fetch(0);
  for (int row = 0; row < n; row++) {
    fetch(row + 1);
#if BUG == 1  // waits for the slice before this one
    emulation::cp_async_wait(2);
#else
    emulation::cp_async_wait(1);
#endif
#if BUG != 2  // others read what this thread copied
    __syncthreads();
#endif
    for (int i = 0; i < 4; i++) sum[i] += slices[row & 1][t + i * WIDTH / 4];
#if BUG != 3  // the next copy overwrites what others still read
    __syncthreads();
#endif
  }
  emulation::cp_async_wait_all();
  for (int i = 0; i < 4; i++) sums[t + i * WIDTH / 4] = sum[i];
}

// One product of 16 x 16 matrices of float16 by the pieces of ptx.cuh, for tests/kernels/test_ptx.py.
#include "ptx.cuh"
#include "warp.cuh"

// d = a b^T + c: a and b (16, 16) float16 by rows, c and d (16, 16) float32.
extern "C" __global__ void __launch_bounds__(32) product(const uint4* a, const uint4* b, const float* c, float* d) {
  __shared__ __align__(128) uint4 rows[32], columns[32];
  rows[threadIdx.x] = a[threadIdx.x];
  cp_async16(columns + threadIdx.x, b + threadIdx.x);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  const int lane = lane_of(), g = lane / 4, t = lane % 4;
  unsigned of_rows[4], of_columns[4];
  ldmatrix_x4(of_rows, rows + 2 * (lane % 16) + lane / 16);
  ldmatrix_x4(of_columns, columns + 2 * (lane / 16 * 8 + lane % 8) + lane / 8 % 2);
  for (int n = 0; n < 2; n++) {
    const int upper = 16 * g + 8 * n + 2 * t, lower = upper + 16 * 8;
    mma_m16n8k16(d[upper], d[upper + 1], d[lower], d[lower + 1], of_rows, of_columns + 2 * n, c[upper], c[upper + 1],
                 c[lower], c[lower + 1]);
  }
}

// Four 8 x 8 matrices, by rows: what each lane gets, (4, 32).
extern "C" __global__ void __launch_bounds__(32) fragments(const uint4* matrices, unsigned* words) {
  __shared__ __align__(128) uint4 rows[32];
  rows[threadIdx.x] = matrices[threadIdx.x];
  __syncwarp();
  unsigned mine[4];
  ldmatrix_x4(mine, rows + threadIdx.x);
  for (int i = 0; i < 4; i++) words[32 * i + threadIdx.x] = mine[i];
}

extern "C" __global__ void __launch_bounds__(32) conversions(const float* x, double* wide, const double* y, float* narrowed) {
  wide[threadIdx.x] = widen(x[threadIdx.x]);
  narrowed[threadIdx.x] = narrow(y[threadIdx.x]);
}

// A small pipeline over kernels/ptx_hopper.cuh, for tests/kernels/test_wgmma.py: one warpgroup multiplies 64 rows by 128,
// slice by slice of 64 columns, through a ring of two. MISTAKE plants one.
#define PANEL 128
#ifndef MISTAKE
#define MISTAKE 0
#endif
#include "tile_wgmma.cuh"

// The low word of the descriptor of what begins `offset` bytes into shared memory, and the high word.
extern "C" __global__ void __launch_bounds__(32) describe(int offset, unsigned* words) {
  extern __shared__ __align__(1024) unsigned char shared[];
  words[0] = matrix_at(shared + offset) - matrix_at(shared);
  words[1] = matrix_at(shared) & 0x3f;
  words[2] = matrix_at(shared) >> 16;
  words[3] = MATRIX_HIGH;
}

// a (n_slices, 64 * 128), b (n_slices, 128 * 128) bytes as they are to lie in shared memory; d (128 threads, 2, 32).
extern "C" __global__ void __launch_bounds__(128)
    multiply(const unsigned char* a, const unsigned char* b, int n_slices, float* d) {
  constexpr int A = 64 * 128, B = 128 * 128;
  extern __shared__ __align__(1024) unsigned char ring[];
  const auto load = [&](int slice) {
    unsigned char* const to = ring + slice % 2 * (A + B);
    if (slice < n_slices) {
      for (int i = threadIdx.x * 16; i < A; i += 128 * 16) cp_async16_or_zeros(to + i, a + slice * A + i, true);
      for (int i = threadIdx.x * 16; i < B; i += 128 * 16) cp_async16_or_zeros(to + A + i, b + slice * B + i, true);
    }
    cp_async_commit();
  };
  Scores scores;
  const unsigned matrices = matrix_at(ring) + (MISTAKE == 1 && lane_of() == 3 ? 2 : 0);
  load(0);
  for (int slice = 0; slice < n_slices; slice++) {
    if (MISTAKE == 2) fence_proxy_async();
    if (MISTAKE != 3) cp_async_wait<0>();
    if (MISTAKE < 2 || MISTAKE > 3) fence_proxy_async();
    __syncthreads();
    if (MISTAKE == 3) cp_async_wait<0>(), fence_proxy_async();
    const unsigned at = matrices + slice % 2 * (A + B) / 16;
    if (MISTAKE != 4) wgmma_fence();
    for (int offset = 0; offset < 128; offset += 32)
      wgmma_m64n128k16(scores, at + offset / 16, at + (A + offset) / 16, slice + offset > 0);
    wgmma_commit();
    if (MISTAKE == 5) load(slice + 2);  // into what is being read
    if (MISTAKE == 6)
      wgmma_wait<1>(scores);
    else
      wgmma_wait<0>(scores);
    if (MISTAKE != 5) load(slice + 1);
  }
  for (int i = 0; i < 64; i++) d[threadIdx.x * 64 + i] = scores[i / 32][i % 32];
  if (MISTAKE == 5) cp_async_wait<0>();
  if (MISTAKE == 6) wgmma_wait<0>(scores);
  cp_async_wait<0>();
}

// Products of a warpgroup that the assembler makes wait for each other: scores are read while others are in flight from
// one turn of the loop to the next.
#define PANEL 128
#define SLICE_BYTES 128
#include "tile_wgmma.cuh"

extern "C" __global__ void __launch_bounds__(128) serialized(float* out, int n) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const unsigned matrix = matrix_at(shared);
  Scores first, second;
  begin_products(second, matrix, 0, matrix, false);
  for (int i = 0; i < n; i++) {
    begin_products(first, matrix, 0, matrix, false);
    wgmma_wait<1>(second);
    out[2 * i * 128 + threadIdx.x] = second[0][0];
    begin_products(second, matrix, 0, matrix, false);
    wgmma_wait<1>(first);
    out[(2 * i + 1) * 128 + threadIdx.x] = first[0][0];
  }
  wgmma_wait<0>(second);
}

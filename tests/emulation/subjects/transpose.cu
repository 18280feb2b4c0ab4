// A 32 x 32 tile turned around in shared memory, four columns a thread. BUG plants one mistake; 0 plants none.
#define TILE 32
#define PAD 33

extern "C" __global__ void __launch_bounds__(256) transpose(const float* __restrict__ in, float* __restrict__ out, int rows,
                                                            int columns) {
#if BUG == 4  // a row too few
  __shared__ float tile[TILE - 1][PAD];
#else
  __shared__ float tile[TILE][PAD];
#endif
  const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
  for (int i = threadIdx.x; i < TILE * TILE / 4; i += blockDim.x) {
    const int r = i / (TILE / 4), c = i % (TILE / 4) * 4;
    float4 four = make_float4(0, 0, 0, 0);
#if BUG == 1  // rows past the end are read
    if (column0 + c < columns)
#else
    if (row0 + r < rows && column0 + c < columns)
#endif
#if BUG == 2  // one element too far to the right: not the address of a float4
      four = *reinterpret_cast<const float4*>(in + (row0 + r) * (long long)columns + column0 + c + (r == 1));
#else
      four = *reinterpret_cast<const float4*>(in + (row0 + r) * (long long)columns + column0 + c);
#endif
    tile[r][c] = four.x;
    tile[r][c + 1] = four.y;
    tile[r][c + 2] = four.z;
    tile[r][c + 3] = four.w;
  }
#if BUG != 3  // a barrier left out
  __syncthreads();
#endif
  for (int i = threadIdx.x; i < TILE * TILE; i += blockDim.x) {
    const int r = i / TILE, c = i % TILE;
    if (column0 + r < columns && row0 + c < rows) out[(column0 + r) * (long long)rows + row0 + c] = tile[c][r];
  }
}

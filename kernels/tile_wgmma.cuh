// A tile on the tensor cores of compute capability 9.0a: float16 rows and centres, float32 scores, by wgmma.m64n128k16.
//
// A warpgroup scores 64 rows of a tile against the panel, both read from shared memory: one instruction for 16 columns,
// 64 cycles of the tensor cores. Constants are added at the end, one addition a score: to fill the accumulators with
// them before would cost no less. Error: gamma of width + 1 terms, sums truncated by the tensor cores.
#pragma once
#include "ptx_hopper.cuh"
#include "slice.cuh"
#include "warp.cuh"

#ifndef SLICES
#define SLICES 2
#endif

constexpr int THREADS = 256, TILE_ROWS = 128;
// A thread holds scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS]; a row's columns are spread over ROW_LANES neighbouring lanes.
constexpr int FRAGMENT_ROWS = 2, FRAGMENT_COLUMNS = PANEL / 4, ROW_LANES = 4;
static_assert(PANEL == 128 && SLICE_BYTES == 128, "what wgmma is written for");

// Row in the tile, and column in the panel, of a lane's scores[i][j], for any lane of the calling warp.
__device__ __forceinline__ int tile_row(int lane, int i) { return threadIdx.x / 32 * 16 + 8 * i + lane / 4; }
__device__ __forceinline__ unsigned tile_column(unsigned lane, unsigned j) { return j / 2 * 8 + lane % 4 * 2 + j % 2; }

typedef float Scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS];

// Constants lie in shared memory such that a thread's are together, each run of them 4 banks after the last.
constexpr int CONSTANTS_STRIDE = FRAGMENT_COLUMNS + 4, CONSTANTS = ROW_LANES * CONSTANTS_STRIDE;

// Begin to copy a panel's, by 64 threads.
__device__ __forceinline__ void load_constants(float* to, const float* from, int thread) {
  if (thread < PANEL / 2) cp_async8(to + thread % 4 * CONSTANTS_STRIDE + thread / 4 * 2, from + 2 * thread);
}

__device__ __forceinline__ void add_constants(Scores& sums, const Scores& products, const float* constants) {
  constants += lane_of() % 4 * CONSTANTS_STRIDE;
#pragma unroll
  for (int j = 0; j < FRAGMENT_COLUMNS; j += 4) {
    const float4 four = *reinterpret_cast<const float4*>(constants + j);
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      sums[i][j] = products[i][j] + four.x;
      sums[i][j + 1] = products[i][j + 1] + four.y;
      sums[i][j + 2] = products[i][j + 2] + four.z;
      sums[i][j + 3] = products[i][j + 3] + four.w;
    }
  }
}

// 128 threads copy slices, 8 a row: `thread` of them copies rows loader_row(thread), and each 16th from there.
__device__ __forceinline__ int loader_row(int thread) { return thread / CHUNKS; }

// Begin to copy a slice of ROWS rows, from byte `offset` of each; zeros where a row has ended, since a slice is
// multiplied as a whole. number(i), i = 0, 16..: the row of the matrix that row loader_row(thread) + i of the slice is.
template <int ROWS, class Number>
__device__ __forceinline__ void load_whole_slice(unsigned char* to, const void* matrix, int row_bytes, int offset,
                                                 int thread, Number number) {
  const int chunk = thread % CHUNKS;
  offset += chunk * 16;
  const bool valid = offset < row_bytes;
  const unsigned char* const from = static_cast<const unsigned char*>(matrix) + (valid ? offset : 0);
  to += chunk_offset(loader_row(thread), chunk);
#pragma unroll
  for (int i = 0; i < ROWS; i += 16)
    cp_async16_or_zeros(to + i * SLICE_BYTES, from + static_cast<long long>(number(i)) * row_bytes, valid);
}

// Begin a group of products: SLICES slices of rows and of centres, whose descriptors are given; those of the rows are
// row_slice bytes apart. `more`: add to what the scores are.
__device__ __forceinline__ void begin_products(Scores& scores, unsigned rows, int row_slice, unsigned centers,
                                               bool more) {
  wgmma_fence();
#pragma unroll
  for (int slice = 0; slice < SLICES; slice++) {
#pragma unroll
    for (int offset = 0; offset < SLICE_BYTES; offset += 32)
      wgmma_m64n128k16(scores, rows + (slice * row_slice + offset) / 16,
                       centers + (slice * PANEL * SLICE_BYTES + offset) / 16, more || slice + offset > 0);
  }
  wgmma_commit();
}

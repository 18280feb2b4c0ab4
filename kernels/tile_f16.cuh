// A tile on the tensor cores: float16 rows and centres, float32 scores, by mma.m16n8k16 (compute capability 8.0 up).
//
// A warp scores 32 rows against the whole panel: per 16 columns of the rows 2 ldmatrix for them, PANEL / 16 for the
// centres, and PANEL / 4 mma. The first mma of a score starts from the centre's constant instead of zero, which saves
// an addition per score. Error: gamma of width + 1 terms, sums truncated by the tensor cores.
#pragma once
#include "slice.cuh"
#include "warp.cuh"

#ifndef WARPS
#define WARPS 4
#endif

constexpr int THREADS = 32 * WARPS, TILE_ROWS = 32 * WARPS;
// A thread holds scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS]; a row's columns are spread over ROW_LANES neighbouring lanes.
constexpr int FRAGMENT_ROWS = 4, FRAGMENT_COLUMNS = PANEL / 4, ROW_LANES = 4;
static_assert(PANEL % 16 == 0 && PANEL <= 128, "ldmatrix takes 16 centres, and a word marks the columns of a fragment");

// Row in the tile, and column in the panel, of a lane's scores[i][j], for any lane of the calling warp; with j going on
// into the next panels, the column among all.
__device__ __forceinline__ int tile_row(int lane, int i) { return threadIdx.x / 32 * 32 + 8 * i + lane / 4; }
__device__ __forceinline__ unsigned tile_column(unsigned lane, unsigned j) { return j / 2 * 8 + lane % 4 * 2 + j % 2; }

typedef float Scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS];

// 16 columns: chunks 2 step and 2 step + 1 of the slices. START: the first of a panel.
template <bool START>
__device__ __forceinline__ void multiply_step(Scores& scores, const unsigned char* rows, const unsigned char* centers,
                                              const float* constants, int step) {
  const int lane = lane_of();
  rows += chunk_offset(lane % 16, 2 * step + lane / 16);
  centers += chunk_offset(lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2);
  unsigned a[2][4];
#pragma unroll
  for (int m = 0; m < 2; m++) ldmatrix_x4(a[m], rows + 16 * m * SLICE_BYTES);
#pragma unroll
  for (int n = 0; n < PANEL / 16; n++) {
    unsigned b[4];
    ldmatrix_x4(b, centers + 16 * n * SLICE_BYTES);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int j = 4 * n + 2 * half;
      const float2 start = START ? *reinterpret_cast<const float2*>(constants + tile_column(lane, j)) : float2();
#pragma unroll
      for (int m = 0; m < 2; m++) {
        float* const upper = scores[2 * m] + j;
        float* const lower = scores[2 * m + 1] + j;
        if (START)
          mma_m16n8k16(upper[0], upper[1], lower[0], lower[1], a[m], b + 2 * half, start.x, start.y, start.x, start.y);
        else
          mma_m16n8k16(upper[0], upper[1], lower[0], lower[1], a[m], b + 2 * half, upper[0], upper[1], lower[0],
                       lower[1]);
      }
    }
  }
}

template <bool START>
__device__ __forceinline__ void multiply(Scores& scores, const unsigned char* rows, const unsigned char* centers,
                                         const float* constants, int bytes) {
  constexpr int STEPS = SLICE_BYTES / 32;
  rows += threadIdx.x / 32 * 32 * SLICE_BYTES;
  if (bytes == SLICE_BYTES) {
    multiply_step<START>(scores, rows, centers, constants, 0);
#pragma unroll
    for (int step = 1; step < STEPS; step++) multiply_step<false>(scores, rows, centers, constants, step);
  } else {
    multiply_step<START>(scores, rows, centers, constants, 0);
#pragma unroll 1
    for (int step = 1; step < bytes / 32; step++) multiply_step<false>(scores, rows, centers, constants, step);
  }
}

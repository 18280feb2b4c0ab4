// A tile on the ordinary cores: float32 rows, centres and scores, by fused multiply-adds in order of the columns, or
// whatever METRIC has in their place.
//
// 256 threads, each 4 rows x PANEL / 8 centres; a warp has 4 x 8 lanes of them. Four columns of the rows at a time, by
// reads of 16 bytes: for 128 centres 20 reads, each of 8 addresses at most, feed 256 multiply-adds. Error: gamma of
// width + 1 terms, each sum rounded.
#pragma once
#include "metric.cuh"
#include "slice.cuh"
#include "warp.cuh"

constexpr int THREADS = 256, TILE_ROWS = 128;
// A thread holds scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS]; a row's columns are spread over ROW_LANES neighbouring lanes.
constexpr int FRAGMENT_ROWS = 4, FRAGMENT_COLUMNS = PANEL / 8, ROW_LANES = 8;
static_assert(PANEL % 16 == 0 && PANEL <= 128, "registers");

// Row in the tile, and column in the panel, of a lane's scores[i][j], for any lane of the calling warp; with j going on
// into the next panels, the column among all. The
// rows of a thread are equal modulo 8, and so are the columns: one swizzle serves them all.
__device__ __forceinline__ int tile_row(int lane, int i) { return 32 * i + threadIdx.x / 32 * 4 + lane / 8; }
__device__ __forceinline__ unsigned tile_column(unsigned lane, unsigned j) { return 8 * j + lane % 8; }

typedef float Scores[FRAGMENT_ROWS][FRAGMENT_COLUMNS];

// START: the first slice of a panel; scores start from the centres' constants.
template <bool START>
__device__ __forceinline__ void multiply(Scores& scores, const unsigned char* rows, const unsigned char* centers,
                                         const float* constants, int bytes) {
  const int lane = lane_of();
  if (START) {
#pragma unroll
    for (int j = 0; j < FRAGMENT_COLUMNS; j++) {
      const float constant = constants[tile_column(lane, j)];
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++) scores[i][j] = constant;
    }
  }
#pragma unroll 1
  for (int chunk = 0; chunk < bytes / 16; chunk++) {
    const unsigned char* const mine = rows + chunk_offset(tile_row(lane, 0), chunk);
    const unsigned char* const theirs = centers + chunk_offset(tile_column(lane, 0), chunk);
    float4 a[FRAGMENT_ROWS];
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) a[i] = *reinterpret_cast<const float4*>(mine + 32 * i * SLICE_BYTES);
#pragma unroll
    for (int j = 0; j < FRAGMENT_COLUMNS; j++) {
      const float4 b = *reinterpret_cast<const float4*>(theirs + 8 * j * SLICE_BYTES);
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++) {
        scores[i][j] = scored(scores[i][j], a[i].x, b.x);
        scores[i][j] = scored(scores[i][j], a[i].y, b.y);
        scores[i][j] = scored(scores[i][j], a[i].z, b.z);
        scores[i][j] = scored(scores[i][j], a[i].w, b.w);
      }
    }
  }
}

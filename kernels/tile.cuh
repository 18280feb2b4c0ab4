// The screen: scores of gathered rows against all centres, a tile of rows and a panel of centres at a time.
//
// score(row, centre) = T.Y + constants[centre], with T (m, width) and Y (kp, width) of type SCREEN, width a multiple of
// 16 and kp one of PANEL. tile_f16.cuh and tile_f32.cuh say how a panel is multiplied and which scores a thread gets;
// here is what moves the slices. Persistent blocks take tiles in turn. Slices of centres come through a ring of STAGES
// by asynchronous copies; the rows stay in shared memory for all panels (RESIDENT), or come with the centres.
//
// Macros: PANEL centres (128, 64, 16), SLICE_BYTES (128, or as much of 32 and 64 as a row has), STAGES >= 2, RESIDENT 0
// or 1, WARPS (float16: 32 rows each), BLOCKS on a multiprocessor that registers must suffice for.
// A block needs this shared memory in bytes, with slices = ceil(row bytes / SLICE_BYTES):
//   (RESIDENT ? slices : STAGES) * TILE_ROWS * SLICE_BYTES + STAGES * PANEL * (SLICE_BYTES + 4) + TILE_ROWS * 4
#pragma once

#ifndef STAGES
#define STAGES 3
#endif
#ifndef RESIDENT
#define RESIDENT 1
#endif

#ifndef SCREEN_WGMMA
#define SCREEN_WGMMA 0
#endif

#include "slice.cuh"
#include "warp.cuh"
#if SCREEN_HALF
#include <cuda_fp16.h>
#endif
#if SCREEN_WGMMA
#include "tile_wgmma.cuh"
#elif SCREEN_HALF
#include "tile_f16.cuh"
#else
#include "tile_f32.cuh"
#endif

// A row's scores lie with ROW_LANES lanes; what is computed once per row is done by one of them, its owner. A thread
// owns row tile_row(lane, owned()) if owned() < FRAGMENT_ROWS.
__device__ __forceinline__ int owned() { return lane_of() % ROW_LANES; }
__device__ __forceinline__ int owner_of(int lane, int i) { return lane / ROW_LANES * ROW_LANES + i; }

// The owner's value, for every row of the fragment. All lanes of a warp must call it.
template <class Value>
__device__ __forceinline__ void from_owners(Value value, Value (&values)[FRAGMENT_ROWS]) {
#pragma unroll
  for (int i = 0; i < FRAGMENT_ROWS; i++) values[i] = __shfl_sync(ALL_LANES, value, owner_of(lane_of(), i));
}

struct Screen {
  const SCREEN* rows;      // (m, width)
  const SCREEN* centers;   // (kp, width)
  const float* constants;  // (kp)
  int width, n_centers;

  __device__ int n_panels() const { return (n_centers + PANEL - 1) / PANEL; }
  // Which tile is number t, which panels it is compared with, if it is at all, the first slot of a panel, and which of
  // `centers` is in a slot.
  __device__ unsigned first_row(unsigned t) const { return t * TILE_ROWS; }
  __device__ int first_panel(unsigned) const { return 0; }
  __device__ int end_panel(unsigned) const { return n_panels(); }
  __device__ int first_center(int panel) const { return panel * PANEL; }
  __device__ int center(int slot) const { return slot; }
  __device__ bool skips(unsigned) const { return false; }
};

struct Tile {
  const int* numbers;  // (TILE_ROWS) row numbers, in shared memory; past `live`, the last row's again
  int first, live;     // place of its first row in the list, and how many rows it has
  int n_panels;        // it is screened against the panels before this one

  // Number of the row that this thread owns, or -1.
  __device__ __forceinline__ int owned_row() const {
    const int row = tile_row(lane_of(), owned());
    return owned() < FRAGMENT_ROWS && row < live ? numbers[row] : -1;
  }
  __device__ unsigned long long pairs() const { return static_cast<unsigned long long>(live) * n_panels * PANEL; }
};

#if SCREEN_WGMMA
#include "scan_wgmma.cuh"
#else
// For every tile of the rows kept[0..count()) (null: rows 0..count()): visit.begin(tile), then visit.panel(tile, number,
// scores) for the leading needs[place of its first row] panels (null: all), then visit.end(tile). All threads of the
// block call and are called. The count is asked for with every tile: a load is cheaper than a register. View: Screen,
// or what has other tiles, with other panels.
template <class View, class Count, class Visit>
__device__ __forceinline__ void scan(const View& screen, const int* kept, const int* needs, Count count, Visit& visit) {
  constexpr int CENTER_BYTES = PANEL * SLICE_BYTES, ROW_BYTES = TILE_ROWS * SLICE_BYTES;
  constexpr int STAGE_BYTES = CENTER_BYTES + (RESIDENT ? 0 : ROW_BYTES);
  // Stages, their constants, row numbers, and last the resident rows, whose size only the launch knows.
  extern __shared__ __align__(1024) unsigned char stages[];
  float* const constants = reinterpret_cast<float*>(stages + STAGES * STAGE_BYTES);
  int* const numbers = reinterpret_cast<int*>(constants + STAGES * PANEL);
  unsigned char* const resident = reinterpret_cast<unsigned char*>(numbers + TILE_ROWS);
  const int row_bytes = screen.width * static_cast<int>(sizeof(SCREEN));
  const int n_slices = (row_bytes + SLICE_BYTES - 1) / SLICE_BYTES;
  const auto number = [=](int row) { return numbers[row]; };

  for (unsigned t = blockIdx.x; screen.first_row(t) < static_cast<unsigned>(count()); t += gridDim.x) {
    if (screen.skips(t)) continue;
    const int first = screen.first_row(t), live = min(TILE_ROWS, count() - first), first_panel = screen.first_panel(t);
    const Tile tile = {numbers, first, live, needs == nullptr ? screen.end_panel(t) : needs[first]};
    __syncthreads();  // nobody reads the last tile any more
    if (threadIdx.x < TILE_ROWS) {
      const int place = first + min(static_cast<int>(threadIdx.x), live - 1);
      numbers[threadIdx.x] = kept == nullptr ? place : kept[place];
    }
    __syncthreads();

    int next_panel = first_panel, next_slice = 0;
    const auto load_next = [&](int stage) {
      if (next_panel < tile.n_panels) {
        unsigned char* const to = stages + stage * STAGE_BYTES;
        const int center = screen.first_center(next_panel), quad = 4 * threadIdx.x;
        load_slice<PANEL, THREADS>(to, screen.centers, row_bytes, next_slice,
                                   [=](int c) { return screen.center(center + c); });
        if (!RESIDENT) load_slice<TILE_ROWS, THREADS>(to + CENTER_BYTES, screen.rows, row_bytes, next_slice, number);
        if (next_slice == 0 && quad < PANEL)
          cp_async16(constants + stage * PANEL + quad, screen.constants + center + quad);
        if (++next_slice == n_slices) next_slice = 0, next_panel++;
      }
      cp_async_commit();
    };
    if (RESIDENT)
#pragma unroll 1
      for (int slice = 0; slice < n_slices; slice++)
        load_slice<TILE_ROWS, THREADS>(resident + slice * ROW_BYTES, screen.rows, row_bytes, slice, number);
#pragma unroll 1
    for (int stage = 0; stage < STAGES - 1; stage++) load_next(stage);
    visit.begin(tile);

    Scores scores;
    int stage = 0;
    for (int panel = first_panel; panel < tile.n_panels; panel++) {
      for (int slice = 0; slice < n_slices; slice++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();  // this slice is there for all, and all have done with the one before
        load_next(stage == 0 ? STAGES - 1 : stage - 1);
        const unsigned char* const centers = stages + stage * STAGE_BYTES;
        const unsigned char* const rows = RESIDENT ? resident + slice * ROW_BYTES : centers + CENTER_BYTES;
        const int bytes = min(SLICE_BYTES, row_bytes - slice * SLICE_BYTES);
        if (slice == 0)
          multiply<true>(scores, rows, centers, constants + stage * PANEL, bytes);
        else
          multiply<false>(scores, rows, centers, nullptr, bytes);
        if (++stage == STAGES) stage = 0;
      }
      visit.panel(tile, panel, scores);
    }
    cp_async_wait<0>();  // only empty groups are left
    visit.end(tile);
  }
}
#endif

// scan() of tile.cuh for tile_wgmma.cuh: two warpgroups that take turns, so that the tensor cores never wait.
//
// A block takes two tiles at a time, each with a visit of its own; warpgroup 0 has the first 64 rows of both,
// warpgroup 1 the others. A step is SLICES slices of a panel. A warpgroup begins the products of a step, for both
// tiles, and meets the other at the barrier; then it waits for the products, visits the panel if they have completed
// it, and meets the other again. The other is half a turn behind: while one visits, the tensor cores do the other's
// products. Between beginning and barrier a warpgroup has time: for the ends of tiles, and warpgroup 1 for copying what
// comes. The steps of all panels and tiles are one stream. (Not written as products in flight from turn to turn: ptxas
// would wait for each of them, C7514.)
//
// Shared memory: a ring of STAGES steps of centres. The rows of the present two tiles stay for all panels, beside those
// of the next two (RESIDENT: a step is then the whole width, and there is more than one panel), or they come with the
// centres, step by step. Bytes:
//   STAGES * SLICES * (PANEL + (RESIDENT ? 0 : 2 * TILE_ROWS)) * SLICE_BYTES + STAGES * CONSTANTS * 4
//   + (RESIDENT ? 4 * SLICES * TILE_ROWS * SLICE_BYTES : 0) + 2 * TILE_ROWS * 4.
#pragma once
#include "tile_wgmma.cuh"

static_assert(STAGES == 3 || (STAGES > 3 && !RESIDENT), "rows are two deep: they may come two steps ahead, no more");

template <class Count, class Visit>
__device__ __forceinline__ void scan(const Screen& screen, const int* kept, const int* needs, Count n_rows,
                                     Visit& visit) {
  constexpr int BOTH_ROWS = 2 * TILE_ROWS;
  constexpr int CENTER_BYTES = SLICES * PANEL * SLICE_BYTES, ROW_BYTES = SLICES * BOTH_ROWS * SLICE_BYTES;
  constexpr int STAGE_BYTES = CENTER_BYTES + (RESIDENT ? 0 : ROW_BYTES), STEP_BYTES = SLICES * SLICE_BYTES;
  extern __shared__ __align__(1024) unsigned char stages[];
  unsigned char* const resident = stages + STAGES * STAGE_BYTES;
  float* const constants = reinterpret_cast<float*>(resident + (RESIDENT ? 2 * ROW_BYTES : 0));
  int* const numbers = reinterpret_cast<int*>(constants + STAGES * CONSTANTS);
  const int row_bytes = screen.width * static_cast<int>(sizeof(SCREEN));
  const int n_steps = RESIDENT ? 1 : (row_bytes + STEP_BYTES - 1) / STEP_BYTES;
  const int count = n_rows(), first_t = blockIdx.x, n_tiles = count / BOTH_ROWS + (count % BOTH_ROWS != 0);
  const int warp = __shfl_sync(ALL_LANES, static_cast<int>(threadIdx.x) / 32, 0), warpgroup = warp / 4;
  const int lane = lane_of();
  const auto panels_of = [=](int t) {
    const int needed = needs == nullptr ? screen.n_panels() : needs[t * BOTH_ROWS];
    return RESIDENT ? max(needed, 2) : needed;  // of two tiles in turn, each of one step, the rows would be three deep
  };
  const auto number_of = [=](int place) {
    place = min(place, count - 1);
    return kept == nullptr ? place : kept[place];
  };

  // The step that is copied next, and where to.
  int next_t = first_t, next_panel = 0, next_step = 0, next_stage = 0, next_constants = 0, next_rows = 0;
  int next_panels = next_t < n_tiles ? panels_of(next_t) : 0;
  const auto load_next = [&] {
    if (next_t < n_tiles) {
      unsigned char* const to = stages + next_stage * STAGE_BYTES;
      const int thread = threadIdx.x % 128, first_center = next_panel * PANEL + loader_row(thread);
      unsigned char* const rows_to = RESIDENT ? resident + next_rows * ROW_BYTES : to + CENTER_BYTES;
      // Lane l reads the numbers of rows l and 32 + l of the 64 that its warp copies.
      int gathered[2] = {};
      if (!RESIDENT || next_panel == 0)
#pragma unroll
        for (int i = 0; i < 2; i++)
          gathered[i] = number_of(next_t * BOTH_ROWS + 128 * i + lane / 4 * 16 + loader_row(thread - lane) + lane % 4);
#pragma unroll
      for (int slice = 0; slice < SLICES; slice++) {
        const int offset = next_step * STEP_BYTES + slice * SLICE_BYTES;
        load_whole_slice<PANEL>(to + slice * PANEL * SLICE_BYTES, screen.centers, row_bytes, offset, thread,
                                [=](int i) { return first_center + i; });
        if (!RESIDENT || next_panel == 0)
          load_whole_slice<BOTH_ROWS>(
              rows_to + slice * BOTH_ROWS * SLICE_BYTES, screen.rows, row_bytes, offset, thread,
              [=](int i) { return __shfl_sync(ALL_LANES, gathered[i / 128], i % 128 / 4 + lane / 8); });
      }
      if (next_step == 0)
        load_constants(constants + next_constants * CONSTANTS, screen.constants + next_panel * PANEL, thread);
      if (++next_stage == STAGES) next_stage = 0;
      if (++next_step == n_steps) {
        next_step = 0;
        if (++next_constants == STAGES) next_constants = 0;
        if (++next_panel == next_panels) {
          next_panel = 0;
          next_t += gridDim.x;
          next_rows ^= 1;
          if (next_t < n_tiles) next_panels = panels_of(next_t);
        }
      }
    }
    cp_async_commit();
  };
  const auto landed = [] {
    cp_async_wait<STAGES - 2>();
    fence_proxy_async();
  };

  Scores scores[2];
  Visit visits[2] = {visit, visit};
  Tile tiles[2];
  const auto begin = [&](int which, int t, int n_panels) {
    const int first = t * BOTH_ROWS + which * TILE_ROWS;
    int* const mine = numbers + which * TILE_ROWS;  // a warp keeps those of its own rows
    __syncwarp();
    if (lane < 16) mine[16 * warp + lane] = number_of(first + 16 * warp + lane);
    __syncwarp();
    tiles[which] = {mine, first, max(0, min(TILE_ROWS, count - first)), n_panels};
    visits[which].begin(tiles[which]);
  };
  const auto finish = [&](int which, int panel, const float* constants) {
    Scores sums;
    add_constants(sums, scores[which], constants);
    visits[which].panel(tiles[which], panel, sums);
  };

  if (warpgroup == 1) {
#pragma unroll 1
    for (int ahead = 0; ahead < STAGES - 1; ahead++) load_next();
    landed();
  }
  barrier(THREADS);
  if (warpgroup == 1) barrier(THREADS);  // half a turn behind
  const unsigned matrices = matrix_at(stages);
  if (matrices % (1024 / 16) != 0) __trap();  // the swizzle goes by addresses: scores would be wrong
  int stage = 0, buffer = 0, present = 0;
#pragma unroll 1
  for (int t = first_t; t < n_tiles; t += gridDim.x) {
    const int n_panels = panels_of(t);
#pragma unroll 1
    for (int panel = 0; panel == 0 || panel < n_panels; panel++) {
#pragma unroll 1
      for (int step = 0; step == 0 || step < n_steps; step++) {
        const unsigned centers = matrices + stage * STAGE_BYTES / 16;
        const int rows_at = RESIDENT ? STAGES * STAGE_BYTES + buffer * ROW_BYTES : stage * STAGE_BYTES + CENTER_BYTES;
        const unsigned rows = matrices + (rows_at + warpgroup * 64 * SLICE_BYTES) / 16;
        begin_products(scores[0], rows, BOTH_ROWS * SLICE_BYTES, centers, step > 0);
        begin_products(scores[1], rows + TILE_ROWS * SLICE_BYTES / 16, BOTH_ROWS * SLICE_BYTES, centers, step > 0);
        if (warpgroup == 1) {
          load_next();
          landed();  // the next step, which warpgroup 0 begins after the barrier
        }
        if (panel == 0 && step == 0) {
          if (t != first_t) visits[1].end(tiles[1]);  // while the next tiles' do
          begin(0, t, n_panels);
          begin(1, t, n_panels);
        }
        barrier(THREADS);
        wgmma_wait<1>(scores[0]);
        if (step == n_steps - 1) {
          finish(0, panel, constants + present * CONSTANTS);
          if (panel == n_panels - 1) visits[0].end(tiles[0]);  // while the second tile's products go on
        }
        wgmma_wait<0>(scores[1]);
        if (step == n_steps - 1) finish(1, panel, constants + present * CONSTANTS);
        barrier(THREADS);
        if (++stage == STAGES) stage = 0;
      }
      if (++present == STAGES) present = 0;
    }
    buffer ^= 1;
  }
  if (first_t < n_tiles) visits[1].end(tiles[1]);
  if (warpgroup == 0) barrier(THREADS);
  if (warpgroup == 1) cp_async_wait<0>();  // only empty groups are left
}

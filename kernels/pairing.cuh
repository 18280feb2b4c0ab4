// Pairs of tiles and panels, for `scan` of tile.cuh: those that are listed as near, each tile in turn with a span of its
// list.
//
// All tiles with the first spans of their lists, then all with the next: blocks that run side by side find the same
// columns in L2, and there is work for all of them where tiles are few. A place in the lists stands for a panel.
#pragma once
#include "tile.cuh"

struct Pairing : Screen {
  int n_rows;
  bool same;                 // rows and columns are one block
  const int *near, *counts;  // of tiles first_tile..+n_tiles: lists of panels, n_panels() apart, and their lengths
  const int* most;           // the largest of these
  int first_tile, n_tiles, span;

  __device__ unsigned first_row(unsigned t) const {
    return static_cast<int>(t / n_tiles) * span < *most ? (first_tile + t % n_tiles) * TILE_ROWS : 0xffffffffu;
  }
  __device__ int list(unsigned t) const { return static_cast<int>(t % n_tiles) * n_panels(); }
  __device__ int first_panel(unsigned t) const { return list(t) + static_cast<int>(t / n_tiles) * span; }
  __device__ int end_panel(unsigned t) const {
    return list(t) + min((static_cast<int>(t / n_tiles) + 1) * span, counts[t % n_tiles]);
  }
  __device__ int first_center(int place) const { return near[place] * PANEL; }
  __device__ int center(int slot) const { return min(slot, n_centers - 1); }
  __device__ bool skips(unsigned t) const { return first_panel(t) >= end_panel(t); }
};

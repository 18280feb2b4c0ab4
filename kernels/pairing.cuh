// All pairs of rows and columns, or those above the diagonal where both are the same, for `scan` of tile.cuh.
//
// A tile is compared with a span of panels at a time; all tiles with the first span, then all with the next: blocks
// that run side by side find the same columns in L2, and there is work for all of them where tiles are few.
#pragma once
#include "tile.cuh"

struct Pairing : Screen {
  int n_rows, span;  // panels
  bool same;
  const int* chosen;  // by item: those that are 0 are left out; null: none is

  __device__ unsigned n_tiles() const { return (n_rows - 1) / TILE_ROWS + 1; }
  __device__ unsigned n_spans() const { return (n_panels() - 1) / span + 1; }
  // Number of what is done of a tile that begins with row `first` and the span that has `panel`.
  __device__ int item(int first, int panel) const { return panel / span * n_tiles() + first / TILE_ROWS; }

  __device__ unsigned first_row(unsigned t) const {
    return t < n_tiles() * n_spans() ? t % n_tiles() * TILE_ROWS : 0xffffffffu;
  }
  __device__ int first_panel(unsigned t) const {
    return max(static_cast<int>(t / n_tiles()) * span, same ? static_cast<int>(first_row(t)) / PANEL : 0);
  }
  __device__ int end_panel(unsigned t) const { return min((static_cast<int>(t / n_tiles()) + 1) * span, n_panels()); }
  __device__ int center(int slot) const { return min(slot, n_centers - 1); }
  __device__ bool skips(unsigned t) const {
    return first_panel(t) >= end_panel(t) || (chosen != nullptr && chosen[t] == 0);
  }
};

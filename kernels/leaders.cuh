// The best and the second best score of every row, and where the best stood, over the panels of a tile.
//
// Scores are taken GROUP at a time: the group that holds the best so far is kept whole, and of the others only the best.
// Which member it was, and whether another member is the second best, is found once, at the end. Per score of a group of 8:
// 7/8 max in the group, 1/8 each of compare, min, max, and 10/8 predicated moves: 2.5 instructions, 1.25 of them on the pipe
// that compares. One by one it would be 5 (compare, min, max and two moves), 3 on that pipe.
#pragma once

#ifndef GROUP
#define GROUP (SCREEN_HALF ? 8 : 4)
#endif

constexpr int GROUPS = FRAGMENT_COLUMNS / GROUP;  // of a fragment's row
static_assert(GROUPS * GROUP == FRAGMENT_COLUMNS, "whole groups");

struct Leader {
  float best, second;
  int slot;  // of the best: its place in the order of the centres; -1: no score was a number above -inf
};

struct Leaders {
  float best[FRAGMENT_ROWS], second[FRAGMENT_ROWS], members[FRAGMENT_ROWS][GROUP];
  int group[FRAGMENT_ROWS];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      best[i] = second[i] = __int_as_float(0xff800000);
      group[i] = -1;
#pragma unroll
      for (int j = 0; j < GROUP; j++) members[i][j] = best[i];
    }
  }

  __device__ __forceinline__ void take(int panel, const Scores& scores) {
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
#pragma unroll
      for (int i = 0; i < FRAGMENT_ROWS; i++) {
        const float* const score = scores[i] + g * GROUP;
        float top = score[0];
#pragma unroll
        for (int j = 1; j < GROUP; j++) top = fmaxf(top, score[j]);
        second[i] = fmaxf(second[i], fminf(best[i], top));
        if (top > best[i]) {
          best[i] = top;
          group[i] = panel * GROUPS + g;
#pragma unroll
          for (int j = 0; j < GROUP; j++) members[i][j] = score[j];
        }
      }
    }
  }

  // The leader of the row that this thread owns; ties go to the lower slot. All lanes of a warp must call it.
  __device__ __forceinline__ Leader of_owned_row() const {
    Leader mine = {};
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      int at = GROUP - 1;
#pragma unroll
      for (int j = GROUP - 2; j >= 0; j--) at = members[i][j] == best[i] ? j : at;
      Leader row = {best[i], second[i], group[i] / GROUPS * PANEL + tile_column(lane_of(), group[i] % GROUPS * GROUP + at)};
      if (group[i] < 0) row.slot = -1;
#pragma unroll
      for (int j = 0; j < GROUP; j++) row.second = fmaxf(row.second, j == at ? row.second : members[i][j]);
#pragma unroll
      for (int step = 1; step < ROW_LANES; step *= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, row.best, step);
        const float other_second = __shfl_xor_sync(ALL_LANES, row.second, step);
        const int other_slot = __shfl_xor_sync(ALL_LANES, row.slot, step);
        row.second = fmaxf(fmaxf(row.second, other_second), fminf(row.best, other));
        if (other > row.best || (other == row.best && other_slot < row.slot)) row.best = other, row.slot = other_slot;
      }
      if (owned() == i) mine = row;
    }
    return mine;
  }
};

// The best and the second best score of every row, and where the best stood, over the panels of a tile.
//
// Scores are taken GROUP at a time: the group that holds the best so far is kept whole, and of the others only the
// best. Which member it was, and whether another member is the second best, is found once, at the end. Per score of a
// group of 8: 7/8 max in the group, 1/8 each of compare, min, max, and 10/8 predicated moves: 2.5 instructions, 1.25 of
// them on the pipe that compares. One by one it would be 5 (compare, min, max and two moves), 3 on that pipe.
// float32 tiles have registers for groups of 2: 4 instructions a score, beside one per column.
#pragma once
#include "bounds.cuh"

#ifndef GROUP
#define GROUP (SCREEN_HALF ? 8 : 2)
#endif

constexpr int GROUPS = FRAGMENT_COLUMNS / GROUP;  // of a fragment's row
static_assert(GROUPS * GROUP == FRAGMENT_COLUMNS, "whole groups");

struct Leader {
  float best, second;
  unsigned slot;  // of the best: its place in the order of the centres; beyond all places if no score was above -inf

  // Of two sets of centres; ties go to the lower slot.
  __device__ __forceinline__ void merge(const Leader& other) {
    second = fmaxf(fmaxf(second, other.second), fminf(best, other.best));
    if (other.best > best || (other.best == best && other.slot < slot)) best = other.best, slot = other.slot;
  }

  __device__ __forceinline__ Leader of_lane(int flip) const {
    return {__shfl_xor_sync(ALL_LANES, best, flip), __shfl_xor_sync(ALL_LANES, second, flip),
            __shfl_xor_sync(ALL_LANES, slot, flip)};
  }
};

struct Leaders {
  float best[FRAGMENT_ROWS], second[FRAGMENT_ROWS], members[FRAGMENT_ROWS][GROUP];
  unsigned group[FRAGMENT_ROWS];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      best[i] = second[i] = -INFINITE;
      group[i] = 0xffffffffu / PANEL;
#pragma unroll
      for (int j = 0; j < GROUP; j++) members[i][j] = -INFINITE;
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

  // The leader among this thread's scores of row i.
  __device__ __forceinline__ Leader leader(int i) const {
    int at = GROUP - 1;
#pragma unroll
    for (int j = GROUP - 2; j >= 0; j--) at = members[i][j] == best[i] ? j : at;
    Leader mine = {best[i], second[i], tile_column(lane_of(), group[i] * GROUP + at)};
#pragma unroll
    for (int j = 0; j < GROUP; j++) mine.second = fmaxf(mine.second, j == at ? -INFINITE : members[i][j]);
    return mine;
  }

  // The leader of the row that this thread owns. All lanes of a warp must call it.
  __device__ __forceinline__ Leader of_owned_row() const {
    static_assert(ROW_LANES % FRAGMENT_ROWS == 0, "the exchanges below halve what a lane holds, down to one row");
    Leader rows[FRAGMENT_ROWS];
#pragma unroll
    for (int i = 0; i < FRAGMENT_ROWS; i++) {
      rows[i] = leader(i);
#pragma unroll
      for (int flip = ROW_LANES / 2; flip >= FRAGMENT_ROWS; flip /= 2) rows[i].merge(rows[i].of_lane(flip));
    }
    // Every lane gives away the rows that it does not own.
#pragma unroll
    for (int flip = FRAGMENT_ROWS / 2; flip > 0; flip /= 2) {
      const bool upper = lane_of() & flip;
#pragma unroll
      for (int i = 0; i < flip; i++) {
        const Leader given = upper ? rows[i] : rows[i + flip];
        if (upper) rows[i] = rows[i + flip];
        rows[i].merge(given.of_lane(flip));
      }
    }
    return rows[0];
  }
};

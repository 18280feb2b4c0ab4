// decide, decide_sketch: the canonical decision among the centres whose score reaches a row's limit.
// In Python: gpuclust/engines/cpu/screen.py.
//
// decide: rows open_rows (open_count) with their open_limits, from settle, against all centres -> labels, upper, lower
//   (m).
// decide_sketch: T and Y are a sketch, whose score of a centre is an upper bound of the full score; rows kept (count)
//   against their leading `needs` panels (null: all), as in settle. A row's present label competes; centres farther
//   than upper + margin (1) float64 need no look. A row with no other candidate keeps its label and its upper bound.
// x (m, d) ROW, centers (k, d) float64 are what distances are computed from; the rest as in settle.cu. work[0] += pairs
// screened (sketch), work[1] += rows (decide), work[2] += canonical distances.
// Launch: persistent blocks of THREADS, shared memory as tile.cuh says. Parallel over tiles of rows, and within a
// warp's 32 (float32: 16) rows over the columns of one distance.
//
// Traffic: of the screen as in settle; a distance reads 4 d or 8 d bytes of the row, from L1 but for the first, and 8 d
// of the centre, from L2. After settle a few per cent of the rows come here, with one or two candidates each. Fast
// because a narrow panel takes few registers, so that many warps hide the latency of distances, and because nothing is
// listed, stored or locked: a warp evaluates its own rows' candidates as it meets them, and the lane that owns a row
// keeps its contest in registers. Test: tests/kernels/test_decide.py.
#ifndef PANEL
#define PANEL 64
#endif
#ifndef BLOCKS
#define BLOCKS ((SCREEN_HALF ? 384 : 512) / THREADS)
#endif
#include "tile.cuh"

#include "candidates.cuh"
#include "contest.cuh"

struct Deciding {
  Exact exact;
  const float *norms, *slacks, *open_limits;
  const int* order;
  int k;
  float inverse_unit;
  int* labels;
  float *upper, *lower;
  unsigned long long* work;
  float limit, limits[FRAGMENT_ROWS];
  Contest contest;
  int distances;

  __device__ __forceinline__ void begin(const Tile& tile) {
    contest = Contest();
    distances = 0;
    limit = tile.owned_row() < 0 ? INFINITE : open_limits[tile.first + tile_row(lane_of(), owned())];
    from_owners(limit, limits);
  }

  __device__ __forceinline__ void panel(const Tile& tile, int number, const Scores& scores) {
    for_candidates(scores, limits, tile, number, k, [&](int tile_row, int owner, int slot) {
      const int center = order[slot];
      const double distance = exact.distance(tile.numbers[tile_row], center);
      if (lane_of() == owner) contest.take(distance, center);
      distances++;
    });
  }

  __device__ __forceinline__ void end(const Tile& tile) {
    const int row = tile.owned_row();
    if (row >= 0 && contest.begun()) {
      // No number, or -inf: every centre was a candidate.
      const bool excludes = limit > -INFINITE;
      const float reach = excludes ? distance_from_below(norms[row], limit, slacks[row], inverse_unit) : INFINITE;
      labels[row] = contest.winner;
      upper[row] = contest.upper();
      lower[row] = contest.lower(reach);
    }
    if (threadIdx.x == 0) atomicAdd(work + 1, static_cast<unsigned long long>(tile.live));
    if (lane_of() == 0) atomicAdd(work + 2, static_cast<unsigned long long>(distances));
  }
};

struct SketchDeciding {
  Exact exact;
  const float *norms, *slacks;
  const int* order;
  const double* drifts;
  int k;
  float unit, margin;
  int* labels;
  float *upper, *lower;
  unsigned long long* work;
  float limits[FRAGMENT_ROWS];
  Contest contest;
  int own, distances;

  // A centre beyond this cannot win.
  __device__ __forceinline__ float reach(int row) const { return upper[row] * GROW + margin; }

  __device__ __forceinline__ void begin(const Tile& tile) {
    contest = Contest();
    distances = 0;
    const int row = tile.owned_row();
    float limit = INFINITE;
    if (row >= 0) {
      const float within = reach(row) * unit;
      own = labels[row];
      limit = score_at(norms[row], within * within, slacks[row]);
    }
    from_owners(limit, limits);
  }

  __device__ __forceinline__ void panel(const Tile& tile, int number, const Scores& scores) {
    for_candidates(scores, limits, tile, number, k, [&](int tile_row, int owner, int slot) {
      const int other = order[slot], present = __shfl_sync(ALL_LANES, own, owner);
      if (other == present) return;
      const bool begun = __shfl_sync(ALL_LANES, static_cast<int>(contest.begun()), owner);
      // The first to challenge the present label calls for its distance too.
#pragma unroll 1
      for (int turn = begun ? 1 : 0; turn < 2; turn++) {
        const int center = turn == 0 ? present : other;
        const double distance = exact.distance(tile.numbers[tile_row], center);
        if (lane_of() == owner) contest.take(distance, center);
        distances++;
      }
    });
  }

  __device__ __forceinline__ void end(const Tile& tile) {
    const int row = tile.owned_row(), screened = min(tile.n_panels * PANEL, k);
    if (row >= 0) {
      double within = reach(row);
      if (screened < k) within = fmin(within, lower[row] - drifts[screened]);
      if (contest.begun()) {
        labels[row] = contest.winner;
        upper[row] = contest.upper();
      }
      lower[row] = contest.lower(within);
    }
    if (threadIdx.x == 0) atomicAdd(work, tile.pairs());
    if (lane_of() == 0) atomicAdd(work + 2, static_cast<unsigned long long>(distances));
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) decide(
    const SCREEN* T, int width, const float* norms, const float* slacks, const int* open_rows, const float* open_limits,
    const int* open_count, const SCREEN* Y, const float* constants, const int* order, int k, const ROW* x,
    const double* centers, int d, double scale, float inverse_unit, int* labels, float* upper, float* lower,
    unsigned long long* work, const int* halt) {
  if (halt != nullptr && *halt) return;
  const Screen screen = {T, Y, constants, width, k};
  Deciding deciding = {{x, centers, d, scale}, norms, slacks, open_limits, order, k, inverse_unit,
                       labels, upper, lower, work};
  scan(screen, open_rows, nullptr, [=] { return *open_count; }, deciding);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) decide_sketch(
    const SCREEN* T, int width, const float* norms, const float* slacks, const int* kept, const int* needs,
    const int* count, const SCREEN* Y, const float* constants, const int* order, const double* drifts, int k,
    const ROW* x, const double* centers, int d, double scale, float unit, const double* margin, int* labels,
    float* upper, float* lower, unsigned long long* work, const int* halt) {
  if (halt != nullptr && *halt) return;
  const Screen screen = {T, Y, constants, width, k};
  SketchDeciding deciding = {{x, centers, d, scale}, norms, slacks, order, drifts, k, unit,
                             static_cast<float>(*margin * GROW), labels, upper, lower, work};
  scan(screen, kept, needs, [=] { return *count; }, deciding);
}

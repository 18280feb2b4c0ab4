// gains: how much each of a few candidate centres would lower the weight of the rows, for drawing first centres.
// Integer weights as in kernels/seeding.cu; in Python: gpuclust/algorithms/seeding.py.
//
// T (m, width), Y (PANEL, width) SCREEN, norms, slacks (m), constants (PANEL) float32: kernels/rows.cu, of l <= PANEL
//   candidates (l, d) float64. For every pair with canonical distance D below nearest (m) float64: gains[candidate] (l)
//   int64 += floor(nearest * weight * factor) - floor(D * weight * factor). weights (m) float64 may be null: ones.
//   adopt (with l = 1): instead, nearest = D. unit: Frame.unit.
// Launch: persistent blocks of THREADS, shared memory as tile.cuh says. Parallel over tiles of rows.
//
// Traffic: reads every row of the screen once, 2 d or 4 d bytes, and 16 to 24 more: the floor; pairs that come closer
// read the exact row, from L1 after the first. With 16 candidates the tensor cores do 16 products a byte, far below
// their rate. Integers, so the same sums in any order; a lane keeps one candidate's and adds it once. Test:
// tests/kernels/test_gains.py.
#ifndef PANEL
#define PANEL 16
#endif
#ifndef RESIDENT
#define RESIDENT 0
#endif
#ifndef BLOCKS
#define BLOCKS ((SCREEN_HALF ? 640 : 768) / THREADS)
#endif
#include "tile.cuh"

#include "bounds.cuh"
#include "candidates.cuh"

static_assert(PANEL <= 32, "a lane for each candidate");

struct Gaining {
  Exact exact;
  const float *norms, *slacks;
  int k;
  float unit;
  double* nearest;
  const double* weights;
  double factor;
  int adopt;
  double present;  // nearest of the owned row
  float limits[FRAGMENT_ROWS];
  long long gain;  // of candidate number lane_of(), so far

  __device__ __forceinline__ long long quanta(double distance, double weight) const {
    return static_cast<long long>(floor(__dmul_rn(__dmul_rn(distance, weight), factor)));
  }

  __device__ __forceinline__ void begin(const Tile& tile) {
    const int row = tile.owned_row();
    float limit = INFINITE;
    if (row >= 0) {
      present = nearest[row];
      limit = score_at(norms[row], static_cast<float>(present * unit * unit), slacks[row]);
    }
    from_owners(limit, limits);
  }

  __device__ __forceinline__ void panel(const Tile& tile, int number, const Scores& scores) {
    for_candidates(scores, limits, tile, number, k, [&](int tile_row, int owner, int slot) {
      const int row = tile.numbers[tile_row];
      const double distance = exact.distance(row, slot), before = __shfl_sync(ALL_LANES, present, owner);
      if (!(distance < before)) return;
      if (adopt) {
        if (lane_of() == owner) nearest[row] = distance;
      } else if (lane_of() == slot) {
        const double weight = weights == nullptr ? 1.0 : weights[row];
        gain += quanta(before, weight) - quanta(distance, weight);
      }
    });
  }

  __device__ __forceinline__ void end(const Tile&) {}
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gains(
    const SCREEN* T, int width, const float* norms, const float* slacks, int m, const SCREEN* Y,
    const float* constants, int l, const ROW* x, int d, const double* candidates, double scale, float unit,
    double* nearest, const double* weights, double factor, long long* gains, int adopt, const int* halt) {
  if (halt != nullptr && *halt) return;
  const Screen screen = {T, Y, constants, width, l};
  Gaining gaining = {{x, candidates, d, scale}, norms, slacks, l, unit, nearest, weights, factor, adopt};
  scan(screen, nullptr, nullptr, [=] { return m; }, gaining);
  if (!adopt && lane_of() < l && gaining.gain != 0) add64(gains + lane_of(), gaining.gain);
}

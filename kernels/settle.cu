// settle: screen rows against centres; give those whose best centre leads by more than the screen's error their label
// and bounds, list the others. Bounds: gpuclust/engines/canonical.py; in Python: gpuclust/engines/cpu/screen.py.
//
// T (m, width), Y (kp, width) SCREEN, norms, slacks (m), constants, twice (kp) float32: kernels/rows.cu, the centres in
//   `order` (k). kept (count) row numbers (null: 0..count); needs (count), by falling need: leading panels to screen
//   against (null: all). inverse_unit: 1 / Frame.unit; drifts (k + 1) float64: Movement, read where needs are given.
// Settled, or without `certify`: labels, upper, lower (m). Not settled: appended to open_rows, with open_limits: a
//   centre whose score is below is excluded; -inf or NaN: none is. Screened against leading panels only, one of which
//   comes too near: appended to again_rows, for a second launch without needs. work[0] += pairs of rows and slots.
// Launch: persistent blocks of THREADS, shared memory as tile.cuh says. Parallel over tiles of rows; panels in turn.
//
// Traffic: a tile reads its rows once, 2 d or 4 d bytes a row, and all centres, which stay in L2: 2 d k / TILE_ROWS
// bytes a row in float16. Bound by the tensor cores for d above some 64, below by the comparisons: 2.5 instructions a
// score (leaders.cuh), none of them an addition, and some 500 a thread and tile at the end. Test:
// tests/kernels/test_settle.py.
#ifndef PANEL
#define PANEL 128
#endif
#ifndef BLOCKS
#define BLOCKS ((SCREEN_HALF ? 256 : 512) / THREADS)
#endif
#include "tile.cuh"

#include "bounds.cuh"
#include "leaders.cuh"

struct Settling {
  const float *norms, *slacks, *twice;
  const int* order;
  const double* drifts;
  int k;
  float inverse_unit;
  int certify;
  int* labels;
  float *upper, *lower;
  int* open_rows;
  float* open_limits;
  int *open_count, *again_rows, *again_count;
  unsigned long long* work;
  Leaders leaders;

  __device__ __forceinline__ void begin(const Tile& tile) {
    leaders.clear();
    const int row = tile.owned_row();
    if (row >= 0) prefetch(norms + row), prefetch(slacks + row);  // for the end
  }

  __device__ __forceinline__ void panel(const Tile&, int number, const Scores& scores) { leaders.take(number, scores); }

  __device__ __forceinline__ void end(const Tile& tile) {
    const Leader leader = leaders.of_owned_row();
    const int screened = min(tile.n_panels * PANEL, k), row = tile.owned_row();
    const float norm = row < 0 ? 0.0f : norms[row], slack = row < 0 ? 0.0f : slacks[row];
    // Padding leads only where every centre's score is below -1e30.
    const bool sane = leader.slot < static_cast<unsigned>(k);
    const int label = sane ? order[leader.slot] : -1;
    bool open = false, again = false;
    float limit = -INFINITE;
    if (row >= 0 && screened < k) {
      // Only the leading centres: enough when none of them comes near the row's own, nor can have one of the others.
      const float other = label == labels[row] ? leader.second : leader.best;
      const double far = distance_from_below(norm, other, slack, inverse_unit);
      const float low = static_cast<float>(min(far, lower[row] - drifts[screened]) * SHRINK);
      again = !(sane && low > upper[row] + TINY);
      if (!again) lower[row] = low;
    } else if (row >= 0) {
      const float error = sane ? twice[leader.slot] : INFINITE;
      if (sane) limit = exclusion_limit(leader.best, error, slack);
      open = !sane || (certify && !(leader.second < limit));
      if (!open) {
        labels[row] = label;
        upper[row] = distance_from_above(norm, leader.best, slack + error, inverse_unit);
        lower[row] = distance_from_below(norm, leader.second, slack, inverse_unit);
      }
    }
    const int place = append(open_count, open), place_again = append(again_count, again);
    if (open) open_rows[place] = row, open_limits[place] = limit;
    if (again) again_rows[place_again] = row;
    if (threadIdx.x == 0) atomicAdd(work, tile.pairs());
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) settle(
    const SCREEN* T, int width, const float* norms, const float* slacks, const int* kept, const int* needs,
    const int* count, const SCREEN* Y, const float* constants, const float* twice, const int* order,
    const double* drifts, int k, float inverse_unit, int certify, int* labels, float* upper, float* lower,
    int* open_rows, float* open_limits, int* open_count, int* again_rows, int* again_count, unsigned long long* work,
    const int* halt) {
  if (halt != nullptr && *halt) return;
  const Screen screen = {T, Y, constants, width, k};
  Settling settling = {norms, slacks, twice, order, drifts, k, inverse_unit, certify, labels, upper, lower,
                       open_rows, open_limits, open_count, again_rows, again_count, work};
  scan(screen, kept, needs, [=] { return *count; }, settling);
}

// Which rows an assignment has to look at, and against how many panels of centres: engines/cpu/screen.py::plan_rows.
//
// plan: carries the bounds upper, lower (m) float32 of x (m, d) ROW, m <= 2**30, labels (m) int32, across a movement:
//   grown (k) of each centre, drifts (k + 1) the movements by falling size, then 0, both float64. A row that stays open
//   gets its upper bound from the canonical distance to its own centre (k, d) float64. -> needs (m) int32, leading
//   panels of `panel` centres each that the row needs, 0 to P = ceil(k / panel); histogram (P + 1) int32 += rows by
//   need, 0 left out. Parallel over rows, 32 a warp.
// offsets: histogram -> starts (P + 1), such that rows of falling need follow each other, count (1) of rows with need;
//   leaves the histogram zero. One block of 1024.
// list_rows: needs -> kept (count) row numbers by falling need, kept_needs (count) their needs; starts move on.
//   Parallel over rows.
// Launch: plan, list_rows: persistent grids of 256 threads, with `local` 4 (P + 1) bytes of dynamic shared memory for
//   counters.
//
// Traffic: plan 24 bytes a row and the open rows themselves; list_rows 8 bytes a row (4 of them twice), 8 per listed
// row. The floor is the same less the 4 bytes of `needs`, written and read. Fast because bounds are carried by one
// thread a row with its loads a step ahead, open rows are measured by whole warps 4 at a time, and counters are those
// of bins.cuh. Bounds are the CPU engine's to the bit. Test: tests/kernels/test_plan.py.
#include "batch.cuh"
#include "bins.cuh"

constexpr int THREADS = 256;
constexpr double OUTWARD = 1.0 / 1048576.0, GROW = 1.0 + OUTWARD, SHRINK = 1.0 - OUTWARD;  // canonical.OUTWARD
constexpr double TINY = 7.52316384526264e-37;                                             // canonical.TINY, 2**-120

// The lower bound after a movement of `drift`, still in float64.
__device__ __forceinline__ double lowered(double low, double drift) { return __dmul_rn(__dsub_rn(low, drift), SHRINK); }

struct Bounds {
  int label;
  float upper, lower;
};

extern "C" __global__ void __launch_bounds__(THREADS, 4) plan(
    const ROW* __restrict__ x, int m, int d, const double* __restrict__ centers, double scale,
    const double* __restrict__ grown, const double* __restrict__ drifts, int k, int panel, int local,
    const int* __restrict__ labels, float* upper, float* lower, int* __restrict__ needs, int* histogram,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  extern __shared__ int counters[];
  const int n_panels = (k - 1) / panel + 1;
  Bins bins{counters, histogram, n_panels + 1, local != 0};
  bins.clear();

  const Share rows(m);
  const auto fetched = [&](int row) {
    return row < rows.end ? Bounds{labels[row], upper[row], lower[row]} : Bounds{0, 0.0f, 0.0f};
  };
  Bounds ahead = fetched(rows.first + static_cast<int>(threadIdx.x));
  for (int base = rows.first; base < rows.end; base += THREADS) {
    const int row = base + static_cast<int>(threadIdx.x);
    const bool valid = row < rows.end;
    const Bounds now = ahead;
    ahead = fetched(row + THREADS);

    const double low = widen(now.lower);
    double high = widen(narrow(__dmul_rn(__dadd_rn(widen(now.upper), grown[now.label]), GROW)));
    const bool open = valid && !(lowered(low, drifts[0]) > __dadd_rn(high, TINY));
    const unsigned wanted = __ballot_sync(ALL_LANES, open);
    const double square = canonical_distances<4>(wanted, x, row, centers, now.label, d, scale);
    int need = 0;
    if (open) {
      high = widen(narrow(__dmul_rn(__dsqrt_rn(square), GROW)));
      // The centres that moved too little to have overtaken the row's own are the last in order.
      int first = 0, last = k;
      while (first < last) {
        const int middle = first + (last - first) / 2;
        if (lowered(low, drifts[middle]) > __dadd_rn(high, TINY)) last = middle;
        else first = middle + 1;
      }
      // More than half of the centres: take all, which renews the lower bound.
      need = first > k - first ? n_panels : (first + panel - 1) / panel;
    }
    if (valid) {
      upper[row] = narrow(high);
      if (need == 0) lower[row] = narrow(lowered(low, drifts[0]));
      needs[row] = need;
    }
    bins.take(need > 0 ? need : -1);
  }
  bins.publish();
}

extern "C" __global__ void __launch_bounds__(1024) offsets(
    int* __restrict__ histogram, int n_panels, int* __restrict__ starts, int* __restrict__ count,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  int before = 0;
  for (int base = 0; base < n_panels; base += blockDim.x) {
    const int need = n_panels - base - static_cast<int>(threadIdx.x);
    int total;
    const int start = before + block_scan(need > 0 ? histogram[need] : 0, &total);
    if (need > 0) {
      starts[need] = start;
      histogram[need] = 0;
    }
    before += total;
  }
  if (threadIdx.x == 0) *count = before;
}

extern "C" __global__ void __launch_bounds__(THREADS) list_rows(
    const int* __restrict__ needs, int m, int n_panels, int local, int* starts, int* __restrict__ kept,
    int* __restrict__ kept_needs, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  extern __shared__ int counters[];
  Bins bins{counters, starts, n_panels + 1, local != 0};
  const Share rows(m);
  const auto for_rows = [&](auto act) {
#pragma unroll 4
    for (int base = rows.first; base < rows.end; base += THREADS) {
      const int row = base + static_cast<int>(threadIdx.x), need = row < rows.end ? needs[row] : 0;
      if (__any_sync(ALL_LANES, need > 0)) act(row, need > 0 ? need : -1);
    }
  };
  if (bins.local) {
    bins.clear();
    for_rows([&](int, int need) { bins.take(need); });
    bins.reserve();
  }
  for_rows([&](int row, int need) {
    const int place = bins.take(need);
    if (need < 0) return;
    kept[place] = row;
    kept_needs[place] = need;
  });
}

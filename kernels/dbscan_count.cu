// Neighbours of every row in a grid: whether there are enough, or the sum of their values. Canonical distances decide.
//
// Rows are sorted by cell: x (m, d) ROW, order (m) int32 their positions, cells (m) int32 their cells, starts the first
// row of each cell and m. `grid`, coordinates, children, boxes: grid.cuh.
// count_neighbors: -> core (m) uint8 by position: 1 where at least `enough` rows are neighbours, itself included.
// sum_neighbors: totals (m + 1) int64, the sums of the values of all sorted rows before -> sums (m) int64 by position,
//   of the values of the neighbours, itself included, modulo 2^64.
// Launch: 128 threads. Parallel over sorted rows, one a thread, so that the threads of a warp walk through the same
// cells.
//
// Traffic: the rows once, 4 d + 13 bytes a row in float32 (sums 4 d + 28), and from L1 and L2 those of the cells around
// them, up to a volume of 12.5 eps^2 (d = 2) or 24 eps^3 (d = 3), of which 3.1 eps^2 or 4.2 eps^3 are within eps. The
// floor is some 3 d operations for each row looked at. Fast because a row of a cell with enough rows is not compared
// with any, and others stop when they have enough, nearest cells first; float32 rows are screened in float32; 32 rows
// that are, or are not, neighbours all together are known by their box; and rows of a cell need no look at each other.
// Test: tests/kernels/test_dbscan_count.py.
#include "grid.cuh"

constexpr int THREADS = 128, BLOCKS = DEPTH > 3 ? 2 : 4;

// Calls act(from, to) for the neighbours of row i, but those of its own cell, until it returns true.
template <class Act>
__device__ __forceinline__ void visit(
    const Grid* grid, const long long* coordinates, const int* children, const Targets& all, int i, int cell, Act act) {
  const Place place(grid, all.rows + static_cast<long long>(i) * grid->d);
  const Test test(grid);
  const int first = all.starts[cell], end = all.starts[cell + 1];
  Walk<false>{grid, coordinates, children, place}.run([&](int from, int to) {
    const bool own = from <= cell && cell < to;
    const int last = all.starts[to];
    return all.scan(test, place.x, all.starts[from], own ? first : last, act) ||
           (own && all.scan(test, place.x, end, last, act));
  });
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) count_neighbors(
    const Grid* __restrict__ grid, const long long* __restrict__ coordinates, const int* __restrict__ children,
    const ROW* __restrict__ x, const ROW* __restrict__ boxes, const int* __restrict__ starts,
    const int* __restrict__ cells, const int* __restrict__ order, int m, int enough,
    unsigned char* __restrict__ core) {
  const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= m) return;
  const int cell = cells[i];
  int found = starts[cell + 1] - starts[cell];
  if (found < enough) {
    visit(grid, coordinates, children, Targets{x, boxes, starts}, static_cast<int>(i), cell,
          [&](int from, int to) { return (found += to - from) >= enough; });
  }
  core[order[i]] = found >= enough;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) sum_neighbors(
    const Grid* __restrict__ grid, const long long* __restrict__ coordinates, const int* __restrict__ children,
    const ROW* __restrict__ x, const ROW* __restrict__ boxes, const int* __restrict__ starts,
    const int* __restrict__ cells, const int* __restrict__ order, int m, const unsigned long long* __restrict__ totals,
    unsigned long long* __restrict__ sums) {
  const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= m) return;
  const int cell = cells[i];
  unsigned long long sum = totals[starts[cell + 1]] - totals[starts[cell]];
  visit(grid, coordinates, children, Targets{x, boxes, starts}, static_cast<int>(i), cell,
        [&](int from, int to) {
          sum += totals[to] - totals[from];
          return false;
        });
  sums[order[i]] = sum;
}

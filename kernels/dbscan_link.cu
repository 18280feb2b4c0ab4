// Components of core rows, and the core rows around others, in a grid. Canonical distances decide.
//
// Cores are the core rows sorted by cell: x (n, d) ROW, positions (n) int32, cells (n) int32, starts (cells + 1) int32
// the first one of each cell and n. Others are rows (r) int32 of the sorted rows (m, d), whose positions are order (m)
// int32. `grid`, coordinates, children, boxes: grid.cuh.
// link_cells: parent (cells) int32, 0, 1, 2, ... before: joins the cells of cores that are neighbours. Those of a cell
//   always are. Parallel over cores.
// name_components: -> smallest (cells) int32, largest before: lowered to the smallest position of a core in the
//   component, at its root. Parallel over cores.
// label_cores: -> out (m) int32 by position: smallest of the component; what is no core is not written.
// claim: labels (n) int32 of the cores -> out (m) int32 by position, for the others only: the lowest label (unsigned)
//   among neighbouring cores, -1 where there are none. Parallel over others.
// nearest: -> out (m) int32 by position, for the others only: the position of the nearest core within eps by canonical
//   distance, the lowest of equals, or -1.
// Launch: 128 threads, a thread each.
//
// Traffic: the cores once, 4 d + 8 bytes each in float32, those of the cells around them from L1 and L2, and one link a
// pair of cells. The floor is a comparison for each pair of neighbouring cells. Fast because a pair of cells is looked
// at from one side, not at all once it is joined, and joined by its first hit; rows of crowded cells that only a few
// face are passed over 32 at a time. Test: tests/kernels/test_dbscan_link.py.
#include "grid.cuh"
#include "union.cuh"

constexpr int THREADS = 128, BLOCKS = DEPTH > 3 ? 2 : 4;

__device__ __forceinline__ long long thread_number() {
  return static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) link_cells(
    const Grid* __restrict__ grid, const long long* __restrict__ coordinates, const int* __restrict__ children,
    const ROW* __restrict__ x, const ROW* __restrict__ boxes, const int* __restrict__ starts,
    const int* __restrict__ cells, int n, int* parent) {
  const long long i = thread_number();
  if (i >= n) return;
  const Place place(grid, x + i * grid->d);
  const Test test(grid);
  const Targets cores{x, boxes, starts};
  const int cell = cells[i];
  Walk<true>{grid, coordinates, children, place}.run([&](int from, int to) {
    for (int other = from; other < min(to, cell); other++) {
      const int first = starts[other], end = starts[other + 1];
      if (first == end || find_root(parent, other) == find_root(parent, cell)) continue;
      if (cores.scan(test, place.x, first, end, [](int, int) { return true; })) join(parent, other, cell);
    }
    return false;
  });
}

extern "C" __global__ void __launch_bounds__(THREADS) name_components(
    const int* __restrict__ positions, const int* __restrict__ cells, int n, int* parent, int* smallest) {
  const long long i = thread_number();
  if (i >= n) return;
  int* const name = smallest + find_root(parent, cells[i]);
  // All cores of a large component meet here, and few of them have something to say.
  if (positions[i] < load_shared(name)) atomicMin(name, positions[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS) label_cores(
    const int* __restrict__ positions, const int* __restrict__ cells, int n, int* parent,
    const int* __restrict__ smallest, int* __restrict__ out) {
  const long long i = thread_number();
  if (i < n) out[positions[i]] = smallest[find_root(parent, cells[i])];
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) claim(
    const Grid* __restrict__ grid, const long long* __restrict__ coordinates, const int* __restrict__ children,
    const ROW* __restrict__ x, const ROW* __restrict__ boxes, const int* __restrict__ starts,
    const ROW* __restrict__ rows, const int* __restrict__ order, const int* __restrict__ others, int n_others,
    const int* __restrict__ labels, int* __restrict__ out) {
  if (thread_number() >= n_others) return;
  const int row = others[thread_number()];
  const Place place(grid, rows + static_cast<long long>(row) * grid->d);
  const Test test(grid);
  unsigned lowest = ~0u;
  Walk<false>{grid, coordinates, children, place}.run([&](int from, int to) {
    for (int j = starts[from]; j < starts[to]; j++) {
      const unsigned label = static_cast<unsigned>(labels[j]);
      if (label < lowest && test.near(place.x, x + static_cast<long long>(j) * test.d)) lowest = label;
    }
    return false;
  });
  out[order[row]] = static_cast<int>(lowest);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) nearest(
    const Grid* __restrict__ grid, const long long* __restrict__ coordinates, const int* __restrict__ children,
    const ROW* __restrict__ x, const ROW* __restrict__ boxes, const int* __restrict__ starts,
    const ROW* __restrict__ rows, const int* __restrict__ order, const int* __restrict__ others, int n_others,
    const int* __restrict__ positions, int* __restrict__ out) {
  if (thread_number() >= n_others) return;
  const int row = others[thread_number()];
  const Place place(grid, rows + static_cast<long long>(row) * grid->d);
  const Test test(grid);
  const Targets cores{x, boxes, starts};
  double least = test.limit;
  unsigned closest = ~0u;
  Walk<false>{grid, coordinates, children, place}.run([&](int from, int to) {
    return cores.scan(test, place.x, starts[from], starts[to], [&](int first, int end) {
      for (int j = first; j < end; j++) {
        const double distance = test.distance(place.x, x + static_cast<long long>(j) * test.d);
        const unsigned position = static_cast<unsigned>(positions[j]);
        if (distance < least || (distance == least && position < closest)) {
          least = distance;
          closest = position;
        }
      }
      return false;
    });
  });
  out[order[row]] = static_cast<int>(closest);
}

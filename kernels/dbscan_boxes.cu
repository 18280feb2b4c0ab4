// DBSCAN by tiles: the order of a block's rows that makes tiles compact, and which panels may hold neighbours of a tile.
// Host side, and the proof that no neighbour is left out: gpuclust/engines/cuda/arrangement.py.
//
// project: x (m, d) ROW, origin (d), basis (d, AXES) float64, its last column unused -> points (m, AXES) float32: the
//   projections of z = (x - origin) * scale on AXES - 1 directions, and last a bound of their error, `error` times the
//   sum of |z_j|. Rows for which that is no number, or too large, are anywhere: 0, with an infinite error.
// bounding_boxes: points of rows order[0..m) -> boxes (n_boxes, 2 AXES) float32: where the rows of each box may lie, low
//   and high ends. The rows are cut into `n_leaves` leaves of `leaf` rows, and those into boxes of nearly equal numbers of them.
// keys: -> keys (m) int64 that bring the rows of each box in the order of its widest direction.
// near_panels: tile_boxes, panel_boxes; tiles first_tile..+n_tiles of tile_rows -> near (n_tiles, n_panels) int32: the
//   panels whose boxes are within `limit`, rising; counts (n_tiles) of them; the largest count goes into most
//   (1). `same`: only panels of the tile itself and behind it. `chosen` (tiles, n_panels / range), or null: only panels
//   where it is not 0.
// Launch: project, keys: persistent grids of 256; bounding_boxes: a block of 256 a box; near_panels: 256, a warp a tile.
//
// Traffic: project reads the rows once and the basis from L1, and writes 32 bytes a row; an order of 2^k tiles takes k
// times 32 bytes a row for boxes, 44 for keys, and a sort of 64-bit keys. near_panels reads all panels' boxes for each
// tile, from L2: 64 bytes for the products of 128 x 128 rows or more. Test: tests/kernels/test_dbscan_boxes.py.
#include "batch.cuh"
#include "bounds.cuh"

constexpr int THREADS = 256, WARPS = THREADS / 32, AXES = 8, LAST = AXES - 1, ROWS = 32 / AXES;

__device__ __forceinline__ long long thread_number() {
  return static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
}
__device__ __forceinline__ long long n_threads() { return static_cast<long long>(gridDim.x) * THREADS; }

extern "C" __global__ void __launch_bounds__(THREADS) project(
    const ROW* __restrict__ x, int m, int d, const double* __restrict__ origin, double scale,
    const double* __restrict__ basis, double error, float* __restrict__ points) {
  constexpr double LARGEST = 1267650600228229401496703205376.0, LEAST = 1.0 / LARGEST;  // 2**100: squares do not overflow
  const int lane = lane_of();
  for (long long first = thread_number() / 32 * ROWS; first < m; first += n_threads() / 32 * ROWS) {
    const ROW* from[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) from[r] = x + min(first + r, m - 1ll) * d;
    double sums[32] = {};
    for (int j = lane; j < d; j += 32) {
      double z[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        z[r] = (widen(from[r][j]) - origin[j]) * scale;
        sums[AXES * r + LAST] += fabs(z[r]);
      }
#pragma unroll
      for (int q = 0; q < LAST; q++) {
        const double direction = basis[static_cast<long long>(j) * AXES + q];
#pragma unroll
        for (int r = 0; r < ROWS; r++) sums[AXES * r + q] += z[r] * direction;
      }
    }
    const double total = canonical_totals(sums), length = __shfl_sync(ALL_LANES, total, lane | LAST);
    const bool known = length < LARGEST;  // NaN: no
    const float point = lane % AXES == LAST ? (known ? __double2float_ru(total * error + LEAST) : INFINITE)
                                            : (known ? static_cast<float>(total) : 0.0f);
    if (first + lane / AXES < m) points[first * AXES + lane] = point;
  }
}

// Leaf with which box g begins, and the box of a leaf.
__device__ __forceinline__ long long first_leaf(long long g, int n_boxes, int n_leaves) { return g * n_leaves / n_boxes; }
__device__ __forceinline__ int box_of(long long leaf, int n_boxes, int n_leaves) {
  return static_cast<int>(((leaf + 1) * n_boxes - 1) / n_leaves);
}

extern "C" __global__ void __launch_bounds__(THREADS) bounding_boxes(
    const float* __restrict__ points, const int* __restrict__ order, int m, int leaf, int n_leaves, int n_boxes,
    float* __restrict__ out) {
  __shared__ float ends[WARPS][2 * AXES];
  const int lane = lane_of(), warp = threadIdx.x / 32, axis = lane % AXES, mine = threadIdx.x / AXES;
  const long long begin = first_leaf(blockIdx.x, n_boxes, n_leaves) * leaf;
  const long long end = min(first_leaf(blockIdx.x + 1ll, n_boxes, n_leaves) * leaf, static_cast<long long>(m));
  float low = INFINITE, high = -INFINITE;
  for (long long at = begin; at < end; at += THREADS / AXES) {
    const long long row = order[min(at + mine, end - 1)];
    const float value = points[row * AXES + axis], error = __shfl_sync(ALL_LANES, value, lane | LAST);
    low = fminf(low, value - error);
    high = fmaxf(high, value + error);
  }
#pragma unroll
  for (int step = AXES; step < 32; step *= 2) {
    low = fminf(low, __shfl_xor_sync(ALL_LANES, low, step));
    high = fmaxf(high, __shfl_xor_sync(ALL_LANES, high, step));
  }
  if (lane < AXES) ends[warp][lane] = low, ends[warp][AXES + lane] = high;
  __syncthreads();
  if (threadIdx.x >= 2 * AXES) return;
  float most = ends[0][threadIdx.x];
  for (int w = 1; w < WARPS; w++) {
    const float other = ends[w][threadIdx.x];
    most = threadIdx.x < AXES ? fminf(most, other) : fmaxf(most, other);
  }
  out[2ll * AXES * blockIdx.x + threadIdx.x] = most;
}

extern "C" __global__ void __launch_bounds__(THREADS) keys(
    const float* __restrict__ points, const int* __restrict__ order, int m, int leaf, int n_leaves, int n_boxes,
    const float* __restrict__ boxes, long long* __restrict__ out) {
  for (long long i = thread_number(); i < m; i += n_threads()) {
    const int number = box_of(i / leaf, n_boxes, n_leaves);
    const float* const box = boxes + 2ll * AXES * number;
    float widest = -1.0f;
    int axis = 0;
#pragma unroll
    for (int q = 0; q < LAST; q++) {
      const float width = box[AXES + q] - box[q];
      if (width > widest) widest = width, axis = q;
    }
    // Its bits as an unsigned integer that is ordered as the number is.
    const unsigned bits = __float_as_uint(points[static_cast<long long>(order[i]) * AXES + axis]);
    const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    out[i] = static_cast<long long>(number) << 32 | ordered;
  }
}

// Whether rows in the two boxes are surely further apart than `limit`, in one of neighborhood.py's METRICS. A box that
// is infinite is apart from none.
__device__ __forceinline__ bool apart(const float* a, const float* b, int metric, float limit) {
  float total = 0.0f;
#pragma unroll
  for (int q = 0; q < LAST; q++) {
    const float gap = fmaxf(fmaxf(a[q] - b[AXES + q], b[q] - a[AXES + q]), 0.0f);
    total = metric == 0 ? total + gap * gap : metric == 1 ? total + gap : fmaxf(total, gap);
  }
  return total > limit;
}

extern "C" __global__ void __launch_bounds__(THREADS) near_panels(
    const float* __restrict__ tile_boxes, const float* __restrict__ panel_boxes, int first_tile, int n_tiles,
    int tile_rows, int n_panels, int panel_rows, int same, int metric, float limit, const int* __restrict__ chosen,
    int range, int* __restrict__ near, int* __restrict__ counts, int* most) {
  const int lane = lane_of(), n_ranges = (n_panels - 1) / range + 1;
  for (long long t = thread_number() / 32; t < n_tiles; t += n_threads() / 32) {
    const long long tile = first_tile + t;
    const int first = same ? static_cast<int>(tile * tile_rows / panel_rows) : 0;
    int* const list = near + t * n_panels;
    int count = 0;
    for (int from = first; from < n_panels; from += 32) {
      const int panel = min(from + lane, n_panels - 1);
      const bool wanted = from + lane < n_panels && (chosen == nullptr || chosen[tile * n_ranges + panel / range] != 0) &&
                          !apart(tile_boxes + 2 * AXES * tile, panel_boxes + 2ll * AXES * panel, metric, limit);
      const unsigned found = __ballot_sync(ALL_LANES, wanted);
      if (wanted) list[count + __popc(found & ((1u << lane) - 1))] = panel;
      count += __popc(found);
    }
    if (lane == 0) {
      counts[t] = count;
      atomicMax(most, count);
    }
  }
}

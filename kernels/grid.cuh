// Rows sorted into the cells of a grid, and the walk over what lies near a row: gpuclust/engines/neighborhood.py.
//
// The cells that hold rows form a tree of DEPTH levels: its nodes of level l are the different leading l + 1
// coordinates, sorted, those of the last level the cells. Features stand in the grid's order; with fewer than DEPTH of
// them the upper levels have one node each. A node's children are consecutive, and so are the rows of cells that
// differ in the last coordinate only: what a row is compared with are a few runs of consecutive rows. Nothing depends
// on how many cells lie between, and (2 reach + 1)^(d - 1) offsets are only tried where there is something.
#pragma once
#include "ptx.cuh"

enum Metric { EUCLIDEAN, MANHATTAN, CHEBYSHEV };

constexpr int MOST_FEATURES = 8, BOXED = 32;  // BOXED: rows to a box

// What `_DESCRIPTION` of gpuclust/engines/cuda/cells.py is in NumPy. By level: origin, feature (-1: none), level.
struct Grid {
  double origin[MOST_FEATURES];
  long long level[MOST_FEATURES];  // where the level's part of `coordinates` and `children` begins
  int feature[MOST_FEATURES];
  double inverse_side, scale, limit;  // the canonical test: distance <= limit
  float surely, hopeless;             // screened distances up to `surely` are neighbours, those above `hopeless` not
  int d, metric, budget, n_roots;
};

// The coordinate of a cell: one rounding for each operation, as everywhere.
template <class Row>
__device__ __forceinline__ long long cell_coordinate(Row x, double origin, double inverse_side) {
  return static_cast<long long>(floor(__dmul_rn(__dsub_rn(widen(x), origin), inverse_side)));
}

#ifdef DEPTH
// One row, and where it lies in the grid. Rows have d <= DEPTH features; missing ones are zeros, which change no bit of
// a distance.
struct Place {
  ROW x[DEPTH];
  long long cell[DEPTH];

  __device__ __forceinline__ Place(const Grid* grid, const ROW* row) {
#pragma unroll
    for (int j = 0; j < DEPTH; j++) x[j] = j < grid->d ? row[j] : ROW(0);
#pragma unroll
    for (int l = 0; l < DEPTH; l++) {
      const int feature = grid->feature[l];
      cell[l] = feature < 0 ? 0 : cell_coordinate(row[feature], grid->origin[l], grid->inverse_side);
    }
  }
};

// The test for neighbours. float32 rows are screened in float32, without the scale; what that leaves open, and all
// float64 rows, the canonical distance decides.
struct Test {
  static constexpr bool SCREENS = sizeof(ROW) == sizeof(float);
  int d, metric;
  double scale, limit;
  float surely, hopeless;

  __device__ __forceinline__ explicit Test(const Grid* grid)
      : d(grid->d), metric(grid->metric), scale(grid->scale), limit(grid->limit), surely(grid->surely),
        hopeless(grid->hopeless) {}

  __device__ __forceinline__ float screened(const ROW (&difference)[DEPTH]) const {
    float total = 0.0f;
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const float t = static_cast<float>(difference[j]);
      if (metric == EUCLIDEAN) total = __fmaf_rn(t, t, total);
      else total = metric == MANHATTAN ? total + fabsf(t) : fmaxf(total, fabsf(t));
    }
    return total;
  }

  // Accumulator l of the canonical tree holds element l alone.
  __device__ __forceinline__ double canonical(double (&difference)[DEPTH]) const {
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const double scaled = __dmul_rn(difference[j], scale);
      difference[j] = metric == EUCLIDEAN ? __dmul_rn(scaled, scaled) : fabs(scaled);
    }
#pragma unroll
    for (int step = MOST_FEATURES / 2; step > 0; step /= 2) {
#pragma unroll
      for (int l = 0; l < step && l + step < DEPTH; l++) {
        const double other = difference[l + step];
        difference[l] = metric == CHEBYSHEV ? fmax(difference[l], other) : __dadd_rn(difference[l], other);
      }
    }
    return difference[0];
  }

  __device__ __forceinline__ double distance(const ROW (&x)[DEPTH], const ROW* y) const {
    double difference[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++) difference[j] = j < d ? __dsub_rn(widen(x[j]), widen(y[j])) : 0.0;
    return canonical(difference);
  }

  // Whether y is a neighbour of x. NaN would be left to the canonical distance.
  __device__ __forceinline__ bool near(const ROW (&x)[DEPTH], const ROW* y) const {
    if (SCREENS) {
      ROW difference[DEPTH];
#pragma unroll
      for (int j = 0; j < DEPTH; j++) difference[j] = j < d ? x[j] - y[j] : ROW(0);
      const float total = screened(difference);
      if (total <= surely) return true;
      if (total > hopeless) return false;
    }
    return distance(x, y) <= limit;
  }

  // Whether no row within a box (low, then high) is a neighbour of x, and whether all are. Computed distances grow with
  // the differences, roundings included: the nearest and the farthest corner speak for all rows.
  __device__ __forceinline__ bool far(const ROW (&x)[DEPTH], const ROW* box) const {
    ROW gap[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++) gap[j] = j < d ? max(max(box[j] - x[j], x[j] - box[d + j]), ROW(0)) : ROW(0);
    return SCREENS ? screened(gap) > hopeless : wide(gap) > limit;
  }
  __device__ __forceinline__ bool within(const ROW (&x)[DEPTH], const ROW* box) const {
    ROW gap[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++) gap[j] = j < d ? max(x[j] - box[j], box[d + j] - x[j]) : ROW(0);
    return SCREENS ? screened(gap) <= surely : wide(gap) <= limit;
  }

  // Of float64 rows.
  __device__ __forceinline__ double wide(const ROW (&gap)[DEPTH]) const {
    double difference[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++) difference[j] = gap[j];
    return canonical(difference);
  }
};

// The rows (n, d) that others are compared with: all of them, or the cores alone. Those of cell c are starts[c] to
// starts[c + 1]. Every BOXED rows, counted from the first, have a box.
struct Targets {
  const ROW *rows, *boxes;
  const int* starts;

  // Calls act(from, to) for the neighbours of x among rows first..end-1, some at a time, until it returns true; returns
  // whether it did.
  template <class Act>
  __device__ __forceinline__ bool scan(const Test& test, const ROW (&x)[DEPTH], int first, int end, Act act) const {
    for (int j = first, next; j < end; j = next) {
      next = j + 1;
      if (j % BOXED == 0 && end - j >= BOXED) {
        const ROW* box = boxes + static_cast<long long>(j / BOXED) * 2 * test.d;
        const bool far = test.far(x, box);
        if (far || test.within(x, box)) {
          next = j + BOXED;
          if (!far && act(j, next)) return true;
          continue;
        }
      }
      if (test.near(x, rows + static_cast<long long>(j) * test.d) && act(j, next)) return true;
    }
    return false;
  }
};

// The first of nodes first..end-1 whose coordinate is at least `least`.
__device__ __forceinline__ int lower_bound(const long long* coordinates, int first, int end, long long least) {
  while (first < end) {
    const int middle = first + (end - first) / 2;
    if (coordinates[middle] < least) first = middle + 1;
    else end = middle;
  }
  return first;
}

// What is left of the budget once cells are v apart in one feature, and how far apart they may be within a budget.
__device__ __forceinline__ int spent(int metric, long long apart) {
  const int gap = max(static_cast<int>(apart < 0 ? -apart : apart) - 1, 0);
  return metric == EUCLIDEAN ? gap * gap : metric == MANHATTAN ? gap : 0;
}
__device__ __forceinline__ int reach(int metric, int budget) {
  return 1 + (metric != EUCLIDEAN ? budget : budget >= 4 ? 2 : budget >= 1);  // budget <= MOST_FEATURES: below 9
}

// The walk over the cells near a place, beginning with its own coordinate on each level: the nearest cells come early.
// EARLIER: only those before its own in order, and its own.
template <bool EARLIER>
struct Walk {
  const Grid* grid;
  const long long* coordinates;
  const int* children;
  const Place& place;

  // Calls act(first, end) with runs of consecutive cells until it returns true; returns whether it did.
  template <class Act>
  __device__ __forceinline__ bool run(Act act) const {
    return level<0>(0, grid->n_roots, grid->budget, true, act);
  }

  // `tied`: the coordinates so far are the place's own.
  template <int LEVEL, class Act>
  __device__ __forceinline__ bool level(int first, int end, int budget, bool tied, Act act) const {
    const long long* coordinate = coordinates + grid->level[LEVEL];
    const int most = reach(grid->metric, budget);
    const long long own = place.cell[LEVEL], last = EARLIER && tied ? own : own + most;
    if constexpr (LEVEL == DEPTH - 1) {
      int node = lower_bound(coordinate, first, end, own - most);
      const int begin = node;
      while (node < end && coordinate[node] <= last) node++;
      return begin < node && act(begin, node);
    } else {
      const int* below = children + grid->level[LEVEL];
      const int middle = lower_bound(coordinate, first, end, own);
      bool up = true;
      for (int node = middle;; up ? node++ : node--) {
        if (up && (node >= end || coordinate[node] > last)) {
          up = false;
          node = middle - 1;
        }
        if (!up && (node < first || coordinate[node] < own - most)) return false;
        const long long apart = coordinate[node] - own;
        const int rest = budget - spent(grid->metric, apart);
        if (level<LEVEL + 1>(below[node], below[node + 1], rest, tied && apart == 0, act)) return true;
      }
    }
  }
};
#endif

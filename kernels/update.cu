// Sums of the rows of each cluster in fixed point, kept up by the rows that changed label. Format:
// gpuclust/engines/canonical.py.
//
// A row that changed is an *item* of its new cluster and, as ~row, of its old one. Items are counted, sorted by
// cluster, and added run by run; integers, so the same bits in any order.
// count_items: labels, previous (m) int32, m <= 2**30, -1: no cluster -> histogram (k) int32 += items, n_changed (1) +=
//   rows.
// scan: histogram -> starts (k + 1), cursors (k); leaves the histogram zero. One block of 1024.
// list_items: -> items (at most 2 m) int32 at the cursors, in any order within a cluster; previous = labels.
// add_items: x (m, d) ROW, weights (m) float64 or null, items, starts -> high, low (k, d), weight_high, weight_low (k)
//   int64.
// Launch: count_items, list_items: persistent grid of 256 threads; with `local`, 4 k bytes of dynamic shared memory for
//   counters. add_items: grid (persistent blocks / y, y) with y = ceil(d / 128), 256 threads. All parallel over rows or
//   items.
//
// Traffic: 8 bytes a row in each of count and list (16 in list when local: it counts its own rows first), and per item
// 4 d or 8 d bytes of the row, 8 of item, 8 of weight. The floor is reading the changed rows once: all else is below 8
// % of it for d >= 128. Fast because there are no atomics per row: a block counts in shared memory and reserves places
// by cluster; a group of lanes sums a run of items in registers, 4 columns a lane and 4 rows in flight, and adds to
// global memory when the cluster changes. Rounding to integers is an addition, not a conversion (a quarter of the
// rate). Test: tests/kernels/test_update.py.
#include "bins.cuh"
#include "ptx.cuh"
#include "quad.cuh"

typedef unsigned long long u64;

constexpr int THREADS = 256, AHEAD = 4, SHORTEST_RUN = 16;

// The clusters that gain and lose a row (-1: none); both the same: it stays.
struct Change {
  int gains, loses;
};

// Calls act(row, change) for the rows of a share by whole warps, AHEAD loads in flight; past the end nothing changes.
template <class Act>
__device__ __forceinline__ void for_changes(const int* labels, const int* previous, Share rows, Act act) {
  for (int base = rows.first; base < rows.end; base += AHEAD * THREADS) {
    Change change[AHEAD];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int row = base + a * THREADS + static_cast<int>(threadIdx.x);
      change[a] = row < rows.end ? Change{labels[row], previous[row]} : Change{-1, -1};
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
      if (__any_sync(ALL_LANES, change[a].gains != change[a].loses))
        act(base + a * THREADS + static_cast<int>(threadIdx.x), change[a]);
  }
}

__device__ __forceinline__ void count(Bins& bins, Change change) {
  const bool changed = change.gains != change.loses;
  bins.take(changed ? change.gains : -1);
  bins.take(changed ? change.loses : -1);
}

extern "C" __global__ void __launch_bounds__(THREADS) count_items(
    const int* __restrict__ labels, const int* __restrict__ previous, int m, int k, int local, int* histogram,
    u64* n_changed, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  extern __shared__ int counters[];
  Bins bins{counters, histogram, k, local != 0};
  bins.clear();
  int changed = 0;
  for_changes(labels, previous, Share(m), [&](int, Change change) {
    changed += change.gains != change.loses;
    count(bins, change);
  });
  bins.publish();
  for (int step = 16; step > 0; step /= 2) changed += __shfl_xor_sync(ALL_LANES, changed, step);
  if (lane_of() == 0 && changed > 0) atomicAdd(n_changed, static_cast<u64>(changed));
}

extern "C" __global__ void __launch_bounds__(1024) scan(
    int* __restrict__ histogram, int k, int* __restrict__ starts, int* __restrict__ cursors,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  int before = 0;
  for (int base = 0; base < k; base += blockDim.x) {
    const int cluster = base + static_cast<int>(threadIdx.x);
    int total;
    const int start = before + block_scan(cluster < k ? histogram[cluster] : 0, &total);
    if (cluster < k) {
      starts[cluster] = cursors[cluster] = start;
      histogram[cluster] = 0;
    }
    before += total;
  }
  if (threadIdx.x == 0) starts[k] = before;
}

extern "C" __global__ void __launch_bounds__(THREADS) list_items(
    const int* __restrict__ labels, int* previous, int m, int k, int local, int* cursors, int* __restrict__ items,
    const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  extern __shared__ int counters[];
  Bins bins{counters, cursors, k, local != 0};
  const Share rows(m);
  if (bins.local) {
    bins.clear();
    for_changes(labels, previous, rows, [&](int, Change change) { count(bins, change); });
    bins.reserve();
  }
  for_changes(labels, previous, rows, [&](int row, Change change) {
    const bool changed = change.gains != change.loses;
    const int gained = bins.take(changed ? change.gains : -1), lost = bins.take(changed ? change.loses : -1);
    if (!changed) return;
    if (change.gains >= 0) items[gained] = row;
    if (change.loses >= 0) items[lost] = ~row;
    previous[row] = change.gains;
  });
}

// Adding 1.5 * 2**52 rounds |t| <= 2**51 to the nearest integer, ties to even, and leaves it in the low bits of the
// sum.
constexpr double ROUNDER = 6755399441055744.0;
constexpr u64 ROUNDER_BITS = 0x4338000000000000ull;

// The integer next to t as int64 plus ROUNDER_BITS; `whole` is the same as float64. WIDE: |t| up to 2**62.
template <bool WIDE>
__device__ __forceinline__ u64 biased_integer(double t, double* whole) {
  if (WIDE) {
    *whole = rint(t);
    return static_cast<u64>(static_cast<long long>(*whole)) + ROUNDER_BITS;
  }
  const double shifted = __dadd_rn(t, ROUNDER);
  *whole = __dsub_rn(shifted, ROUNDER);
  return static_cast<u64>(__double_as_longlong(shifted));
}

// Sums of two limbs, and how often ROUNDER_BITS is in each of them.
struct Limbs {
  u64 high, low;

  template <bool WIDE>
  __device__ __forceinline__ void add(double scaled, double low_scale) {
    double whole, rest;
    high += biased_integer<WIDE>(scaled, &whole);
    low += biased_integer<WIDE>(__dmul_rn(__dsub_rn(scaled, whole), low_scale), &rest);
  }

  __device__ __forceinline__ void flush(u64 bias, long long* high_sum, long long* low_sum) {
    if (high != bias) add64(high_sum, static_cast<long long>(high - bias));
    if (low != bias) add64(low_sum, static_cast<long long>(low - bias));
    high = low = 0;
  }
};

// The cluster that holds item `at`: the last of from..k-1 that starts at or before it.
__device__ __forceinline__ int cluster_of(const int* starts, int k, int from, int at) {
  if (starts[from + 1] > at) return from;
  int first = from + 1, end = k;
  while (end - first > 1) {
    const int middle = first + (end - first) / 2;
    if (starts[middle] <= at) first = middle;
    else end = middle;
  }
  return first;
}

template <bool WIDE>
__device__ __forceinline__ void add_run(
    const ROW* __restrict__ x, const double* __restrict__ weights, int d, const int* __restrict__ items,
    const int* __restrict__ starts, int k, const double* __restrict__ high_scale, double low_scale, double weight_scale,
    long long* high, long long* low, long long* weight_high, long long* weight_low) {
  // Lanes that share the columns of a row; each group takes one run of items.
  const int group = d <= 16 ? 4 : d <= 32 ? 8 : d <= 64 ? 16 : 32;
  const int lane = threadIdx.x & (group - 1);
  const unsigned peers = ALL_LANES >> (32 - group) << (threadIdx.x & 31 & -group);
  const int n_groups = static_cast<int>(gridDim.x * blockDim.x) / group, n_items = starts[k];
  const int even = max(SHORTEST_RUN, (n_items - 1) / n_groups + 1), length = (even + group - 1) & -group;
  const long long begin = static_cast<long long>((blockIdx.x * blockDim.x + threadIdx.x) / group) * length;
  if (begin >= n_items) return;
  const int end = static_cast<int>(min(begin + length, static_cast<long long>(n_items)));

  const bool whole_quads = quads(x, d), weighs = blockIdx.y == 0;
  const int first = blockIdx.y * 4 * group + (whole_quads ? 4 * lane : lane), apart = whole_quads ? 1 : group;
  double scale[4];
  Limbs sums[4] = {}, mass = {};
#pragma unroll
  for (int c = 0; c < 4; c++) scale[c] = first + c * apart < d ? high_scale[first + c * apart] : 0.0;

  int cluster = cluster_of(starts, k, 0, static_cast<int>(begin)), next = min(end, starts[cluster + 1]);
  u64 bias = 0, mass_bias = 0;
  for (int batch = static_cast<int>(begin); batch < end; batch += group) {
    // Each lane fetches one item, and the group takes them in turn.
    const bool has = batch + lane < end;
    const int item = has ? items[batch + lane] : 0, own_row = item < 0 ? ~item : item;
    const double size = has && weights != nullptr ? weights[own_row] : 1.0, weight = item < 0 ? -size : size;
    for (int at = batch, stop; at < min(end, batch + group); at = stop) {
      stop = min(next, batch + group);
      if (weighs && batch + lane >= at && batch + lane < stop) {
        mass.add<true>(__dmul_rn(weight, weight_scale), low_scale);
        mass_bias += ROUNDER_BITS;
      }
      for (int i = at; i < stop; i += AHEAD) {
        Quad<ROW> value[AHEAD];
        double factor[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
          const int from = min(i + a, stop - 1) - batch;
          factor[a] = __shfl_sync(peers, weight, from, group);
          const ROW* row = x + static_cast<long long>(__shfl_sync(peers, own_row, from, group)) * d;
          if (whole_quads) {
            value[a] = load_quad(row + min(first, d - 4));
          } else {
#pragma unroll
            for (int c = 0; c < 4; c++) value[a].of[c] = row[min(first + c * apart, d - 1)];
          }
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
          if (i + a >= stop) break;
          bias += ROUNDER_BITS;
#pragma unroll
          for (int c = 0; c < 4; c++)
            sums[c].template add<WIDE>(__dmul_rn(__dmul_rn(widen(value[a].of[c]), factor[a]), scale[c]), low_scale);
        }
      }
      if (stop < next) continue;
      // The cluster's last item of this run.
      const long long table = static_cast<long long>(cluster) * d;
#pragma unroll
      for (int c = 0; c < 4; c++) {
        const long long place = table + first + c * apart;
        if (first + c * apart < d) sums[c].flush(bias, high + place, low + place);
      }
      bias = 0;
      if (weighs) {
        mass.high -= mass_bias;
        mass.low -= mass_bias;
        for (int step = group / 2; step > 0; step /= 2) {
          mass.high += __shfl_xor_sync(peers, mass.high, step);
          mass.low += __shfl_xor_sync(peers, mass.low, step);
        }
        if (lane == 0) mass.flush(0, weight_high + cluster, weight_low + cluster);
        mass = {};
        mass_bias = 0;
      }
      if (next < end) {
        cluster = cluster_of(starts, k, cluster + 1, next);
        next = min(end, starts[cluster + 1]);
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) add_items(
    const ROW* __restrict__ x, const double* __restrict__ weights, int d, const int* __restrict__ items,
    const int* __restrict__ starts, int k, const double* __restrict__ high_scale, double low_scale, double weight_scale,
    long long* high, long long* low, long long* weight_high, long long* weight_low, const int* __restrict__ halt) {
  if (halt != nullptr && *halt) return;
  // Scaled values are below low_scale / 2. Only a few hundred rows or fewer have values that ROUNDER cannot round.
  if (low_scale > 4503599627370496.0) {
    add_run<true>(x, weights, d, items, starts, k, high_scale, low_scale, weight_scale, high, low, weight_high,
                  weight_low);
  } else {
    add_run<false>(x, weights, d, items, starts, k, high_scale, low_scale, weight_scale, high, low, weight_high,
                   weight_low);
  }
}

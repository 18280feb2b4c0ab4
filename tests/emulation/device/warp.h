// Warp collectives. Each is one meeting of the lanes in `mask`: every lane leaves a value and sees what the others left.
// __activemask() is missing on purpose: which lanes run together is the scheduler's whim, here as on the device.
#pragma once
#include <cstring>

#include "runtime.h"

namespace emulation {

// What the lanes of a meeting left: lanes[i] is lane i's value.
template <class T>
struct Lanes {
  T values[32];
  const T& operator[](int lane) const { return values[lane & 31]; }
};

// The general collective, for the emulated bodies of ldmatrix, mma and their like:
//   const auto lanes = emulation::gather(mask, mine);  ...  lanes[3].a[0]
template <class T>
static inline Lanes<T> gather(unsigned mask, const T& value, const char* name = "gather", EMULATION_HERE) {
  static_assert(sizeof(T) <= kMaxDeposit, "a lane's deposit is too large");
  static_assert(__is_trivially_copyable(T), "lanes exchange bytes");
  Lanes<T> lanes;
  exchange(name, mask, &value, sizeof value, lanes.values, false, place);
  return lanes;
}

static inline bool in_mask(unsigned mask, int lane) { return mask >> lane & 1; }

// The value of lane `source`, or of this lane if the source lies outside its segment of `width` lanes.
template <class T>
static inline T shuffle(const char* name, unsigned mask, T value, int source, int width, Place place) {
  const auto lanes = gather(mask, value, name, place);
  const int first = current->lane & ~(width - 1);
  return lanes[source >= first && source < first + width ? source : current->lane];
}

template <class T, class F>
static inline T reduce(const char* name, unsigned mask, T value, F combine, Place place) {
  const auto lanes = gather(mask, value, name, place);
  T result = value;
  for (int i = 0; i < 32; i++)
    if (in_mask(mask, i) && i != current->lane) result = combine(result, lanes[i]);
  return result;
}

static inline unsigned ballot(const char* name, unsigned mask, bool predicate, Place place) {
  const auto lanes = gather(mask, static_cast<char>(predicate), name, place);
  unsigned result = 0;
  for (int i = 0; i < 32; i++)
    if (in_mask(mask, i) && lanes[i] == 1) result |= 1u << i;
  return result;
}

}  // namespace emulation

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATION_HERE) {
  const char nothing = 0;
  emulation::Lanes<char> lanes;
  emulation::exchange("__syncwarp", mask, &nothing, 1, lanes.values, true, place);
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATION_HERE) {
  const int first = emulation::current->lane & ~(width - 1);
  return emulation::shuffle("__shfl_sync", mask, value, first | (source & (width - 1)), width, place);
}
// Of a xor shuffle the device bounds only the upper end of the segment: a lane may read from a lower segment.
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, EMULATION_HERE) {
  const int last = emulation::current->lane | (width - 1), source = emulation::current->lane ^ flip;
  return emulation::shuffle("__shfl_xor_sync", mask, value, source <= last ? source : emulation::current->lane, 32, place);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_HERE) {
  return emulation::shuffle("__shfl_down_sync", mask, value, emulation::current->lane + int(delta), width, place);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_HERE) {
  return emulation::shuffle("__shfl_up_sync", mask, value, emulation::current->lane - int(delta), width, place);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATION_HERE) {
  return emulation::ballot("__ballot_sync", mask, predicate, place);
}
static inline int __any_sync(unsigned mask, int predicate, EMULATION_HERE) {
  return emulation::ballot("__any_sync", mask, predicate, place) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMULATION_HERE) {
  return emulation::ballot("__all_sync", mask, !predicate, place) == 0;
}

// Values are compared bit by bit, as the device does.
template <class T>
static inline unsigned __match_any_sync(unsigned mask, T value, EMULATION_HERE) {
  const auto lanes = emulation::gather(mask, value, "__match_any_sync", place);
  unsigned result = 0;
  for (int i = 0; i < 32; i++)
    if (emulation::in_mask(mask, i) && std::memcmp(&lanes[i], &value, sizeof value) == 0) result |= 1u << i;
  return result;
}
template <class T>
static inline unsigned __match_all_sync(unsigned mask, T value, int* equal, EMULATION_HERE) {
  const auto lanes = emulation::gather(mask, value, "__match_all_sync", place);
  *equal = 1;
  for (int i = 0; i < 32; i++)
    if (emulation::in_mask(mask, i) && std::memcmp(&lanes[i], &value, sizeof value) != 0) *equal = 0;
  return *equal ? mask : 0;
}

// The device has these for int and unsigned only.
#define EMULATION_REDUCE(name, T, expression)                                                                         \
  static inline T name(unsigned mask, T value, EMULATION_HERE) {                                                      \
    return emulation::reduce(#name, mask, value, [](T a, T b) { return static_cast<T>(expression); }, place);         \
  }
EMULATION_REDUCE(__reduce_add_sync, unsigned, a + b)
EMULATION_REDUCE(__reduce_add_sync, int, static_cast<unsigned>(a) + static_cast<unsigned>(b))
EMULATION_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
EMULATION_REDUCE(__reduce_min_sync, int, a < b ? a : b)
EMULATION_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
EMULATION_REDUCE(__reduce_max_sync, int, a > b ? a : b)
EMULATION_REDUCE(__reduce_and_sync, unsigned, a& b)
EMULATION_REDUCE(__reduce_or_sync, unsigned, a | b)
EMULATION_REDUCE(__reduce_xor_sync, unsigned, a ^ b)

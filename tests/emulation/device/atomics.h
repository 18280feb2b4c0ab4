// Atomics: relaxed, as on the device, each one a scheduling point. Only the types that the device has are declared: an atomicMin
// of double, or an atomicAdd of long long, must not compile here when it does not there.
#pragma once
#include "runtime.h"

namespace emulation {

template <class T, class F>
static inline T read_modify_write(T* address, F change) {
  maybe_yield();
  T old, changed;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    changed = change(old);
  } while (!__atomic_compare_exchange(address, &old, &changed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

// A load that other threads' atomics may race with, for the emulated bodies of volatile and relaxed loads.
template <class T>
static inline T load(const T* address) {
  maybe_yield();
  T value;
  __atomic_load(address, &value, __ATOMIC_RELAXED);
  return value;
}
template <class T>
static inline void store(T* address, T value) {
  maybe_yield();
  __atomic_store(address, &value, __ATOMIC_RELAXED);
}

}  // namespace emulation

#define EMULATION_ATOMIC(name, T, expression)                                                                         \
  static inline T name(T* address, T value) {                                                                         \
    return emulation::read_modify_write(address, [value](T old) { return static_cast<T>(expression); });              \
  }
#define EMULATION_ATOMIC_INTEGERS(name, expression)                                                                   \
  EMULATION_ATOMIC(name, int, expression)                                                                             \
  EMULATION_ATOMIC(name, unsigned, expression)                                                                        \
  EMULATION_ATOMIC(name, unsigned long long, expression)
#define EMULATION_ATOMIC_ORDERED(name, expression)                                                                    \
  EMULATION_ATOMIC_INTEGERS(name, expression)                                                                         \
  EMULATION_ATOMIC(name, long long, expression)

EMULATION_ATOMIC(atomicAdd, int, static_cast<unsigned>(old) + static_cast<unsigned>(value))
EMULATION_ATOMIC(atomicAdd, unsigned, old + value)
EMULATION_ATOMIC(atomicAdd, unsigned long long, old + value)
EMULATION_ATOMIC(atomicAdd, float, old + value)
EMULATION_ATOMIC(atomicAdd, double, old + value)
EMULATION_ATOMIC(atomicSub, int, static_cast<unsigned>(old) - static_cast<unsigned>(value))
EMULATION_ATOMIC(atomicSub, unsigned, old - value)
EMULATION_ATOMIC_ORDERED(atomicMin, old < value ? old : value)
EMULATION_ATOMIC_ORDERED(atomicMax, old > value ? old : value)
EMULATION_ATOMIC_INTEGERS(atomicAnd, old & value)
EMULATION_ATOMIC_INTEGERS(atomicOr, old | value)
EMULATION_ATOMIC_INTEGERS(atomicXor, old ^ value)
EMULATION_ATOMIC_INTEGERS(atomicExch, ((void)old, value))
EMULATION_ATOMIC(atomicExch, float, ((void)old, value))
EMULATION_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
EMULATION_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)

#define EMULATION_ATOMIC_CAS(T)                                                                                       \
  static inline T atomicCAS(T* address, T expected, T value) {                                                        \
    emulation::maybe_yield();                                                                                         \
    __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                 \
    return expected;                                                                                                  \
  }
EMULATION_ATOMIC_CAS(int)
EMULATION_ATOMIC_CAS(unsigned)
EMULATION_ATOMIC_CAS(unsigned short)
EMULATION_ATOMIC_CAS(unsigned long long)

// Barriers of the block, memory fences, and the hooks for named barriers.
#pragma once
#include "runtime.h"

static inline void __syncthreads(EMULATION_HERE) { emulation::block_barrier(true, emulation::Combine::any, place); }
static inline int __syncthreads_or(int predicate, EMULATION_HERE) {
  return emulation::block_barrier(predicate, emulation::Combine::any, place);
}
static inline int __syncthreads_and(int predicate, EMULATION_HERE) {
  return emulation::block_barrier(predicate, emulation::Combine::all, place);
}
static inline int __syncthreads_count(int predicate, EMULATION_HERE) {
  return emulation::block_barrier(predicate, emulation::Combine::count, place);
}

// All fences are one fence: a fence orders everything before it against everything after a later fence of any thread.
static inline void __threadfence() { emulation::fence(); }
static inline void __threadfence_block() { emulation::fence(); }
static inline void __threadfence_system() { emulation::fence(); }
static inline void __nanosleep(unsigned) { emulation::pause(); }

namespace emulation {
// For the emulated bodies of `bar.sync id, threads` and `bar.arrive id, threads`.
static inline void barrier_sync(int id, int threads, EMULATION_HERE) { named_barrier(id, threads, true, place); }
static inline void barrier_arrive(int id, int threads, EMULATION_HERE) { named_barrier(id, threads, false, place); }
}  // namespace emulation

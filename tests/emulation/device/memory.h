// Loads and stores with cache hints, and the hooks for cp.async.
#pragma once
#include <cstdint>

#include "runtime.h"

// Hints change where the device caches a value, never the value.
#define EMULATION_CACHED(name)                                                                                        \
  template <class T>                                                                                                  \
  static inline T name(const T* address) {                                                                            \
    return *address;                                                                                                  \
  }
EMULATION_CACHED(__ldg)
EMULATION_CACHED(__ldca)
EMULATION_CACHED(__ldcg)
EMULATION_CACHED(__ldcs)
EMULATION_CACHED(__ldlu)
EMULATION_CACHED(__ldcv)
#define EMULATION_STORED(name)                                                                                        \
  template <class T>                                                                                                  \
  static inline void name(T* address, T value) {                                                                      \
    *address = value;                                                                                                 \
  }
EMULATION_STORED(__stwb)
EMULATION_STORED(__stcg)
EMULATION_STORED(__stcs)
EMULATION_STORED(__stwt)

namespace emulation {

// cp.async: BYTES from global to shared memory, zeros past `valid`. The copy lands as late as it may, when waited for; until
// then the destination holds NaN, so a missing wait shows in the result. All is read and written here, word by word in code
// that the sanitizers watch (g++ does not instrument a small memset), and by the thread that copies: a reader with no barrier
// after the wait is a race that TSan sees.
template <int BYTES>
static inline void cp_async(void* to, const void* from, int valid = BYTES, EMULATION_HERE) {
  static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "cp.async copies 4, 8 or 16 bytes");
  if (reinterpret_cast<uintptr_t>(to) % BYTES || reinterpret_cast<uintptr_t>(from) % BYTES)
    fail("cp.async of %d bytes from or to a misaligned address (%s:%d)", BYTES, place.file, place.line);
  if (valid < 0 || valid > BYTES || valid % 4)
    fail("cp.async: %d of %d bytes, not whole words (%s:%d)", valid, BYTES, place.file, place.line);
  volatile unsigned* target = static_cast<volatile unsigned*>(to);
  const volatile unsigned* source = static_cast<const volatile unsigned*>(from);
  for (int i = 0; i < valid / 4; i++) (void)source[i];
  for (int i = 0; i < BYTES / 4; i++) target[i] = ~0u;
  queue_copy({target, source, BYTES / 4, valid / 4});
}
static inline void cp_async_commit() { commit_copies(); }
// Waits for all groups but the newest `keep`.
static inline void cp_async_wait(int keep) {
  for (Copy copy; next_copy(keep, &copy);) {
    for (int i = 0; i < copy.words; i++) copy.to[i] = i < copy.valid ? copy.from[i] : 0;
    note_written(copy.to);
  }
}
// cp.async.wait_all: also what was never committed.
static inline void cp_async_wait_all() {
  commit_copies();
  cp_async_wait(0);
}

}  // namespace emulation

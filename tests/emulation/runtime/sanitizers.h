// Hooks of the sanitizers' runtimes: weak, so absent (null) in a plain build. The runtime itself is never instrumented; what it
// tells the sanitizers is which fiber runs, and which barriers and fences order memory.
#pragma once
#include <cstddef>

extern "C" {
void __sanitizer_start_switch_fiber(void**, const void*, size_t) __attribute__((weak));
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) __attribute__((weak));
void* __tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_destroy_fiber(void*) __attribute__((weak));
void __tsan_switch_to_fiber(void*, unsigned) __attribute__((weak));
void* __tsan_get_current_fiber(void) __attribute__((weak));
void __tsan_acquire(void*) __attribute__((weak));
void __tsan_release(void*) __attribute__((weak));
void AnnotateIgnoreReadsBegin(const char*, int) __attribute__((weak));
void AnnotateIgnoreReadsEnd(const char*, int) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char*, int) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char*, int) __attribute__((weak));
}

namespace emulation {

inline bool under_tsan() { return __tsan_create_fiber != nullptr; }

// TSan intercepts memcpy and malloc even here. Inside such a scope it looks away.
struct Unwatched {
  Unwatched() {
    if (!AnnotateIgnoreReadsBegin) return;
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    if (!AnnotateIgnoreReadsEnd) return;
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

// Something that orders memory: who acquires it sees what those that released it before had done.
struct Order {
  char address[8];
  void release() {
    if (__tsan_release) __tsan_release(address);
  }
  void acquire() {
    if (__tsan_acquire) __tsan_acquire(address);
  }
};

}  // namespace emulation

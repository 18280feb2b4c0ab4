// What a kernel's translation unit may ask of the scheduler (../runtime). Everything a CUDA thread does that involves another
// thread ends in one of these calls; everything else is ordinary C++.
#pragma once
#include <cstddef>
#include <functional>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
};

namespace emulation {

// A place in a kernel's source, for messages. As a default argument it is the place of the call.
struct Place {
  const char* file;
  int line;
};
#define EMULATION_HERE ::emulation::Place place = {__builtin_FILE(), __builtin_LINE()}

// The running CUDA thread, as threadIdx and its kin see it.
struct Current {
  uint3 thread, block;
  dim3 block_size, grid_size;
  int lane;
  unsigned char* dynamic_shared;
  bool fenced_registers = false;  // by wgmma.fence, since the last wait for products
};
extern Current* current;

// Ends the launch with this message (printf format); the launch raises it in Python.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The memory of one static __shared__ array in the running block; `key` is an address that names the array.
void* shared_memory(const void* key, size_t bytes);

// Block barriers. `all` combines the predicates of __syncthreads_and / _or / _count; returned is the combination.
enum class Combine { any, all, count };
int block_barrier(bool predicate, Combine combine, Place place);
// bar.sync / bar.arrive: barrier `id` (1..15) opens when `threads` threads have come; only sync waits for it.
void named_barrier(int id, int threads, bool wait, Place place);

// All lanes of `mask` meet, each leaving `bytes` bytes; out (32 x bytes) receives what they left, other lanes' entries are
// poisoned. Only some collectives order memory (__syncwarp does, shuffles do not).
inline constexpr int kMaxDeposit = 256;
void exchange(const char* collective, unsigned mask, const void* in, int bytes, void* out, bool orders_memory, Place place);

// Scheduling points. An atomic operation is one with the probability that the launch asks for; a pause (a spin loop's) always.
void maybe_yield();
void pause();
void fence();

// The running thread's cp.async queue: copies land only when waited for. next_copy() hands out, one by one, the copies of all
// groups but the newest `keep`.
struct Copy {
  volatile unsigned* to;
  const volatile unsigned* from;
  int words, valid;
};
void queue_copy(const Copy& copy);
void commit_copies();
bool next_copy(int keep, Copy* copy);

// Work of wgmma that runs beside the thread that began it, in groups as copies do: it is done when waited for.
void defer(std::function<void()> work);
void commit_deferred();
bool next_deferred(int keep, std::function<void()>* work);

// Pieces of 16 bytes of dynamic shared memory that a thread has written by cp.async: until it fences, the asynchronous
// proxy, through which wgmma reads, may not see them.
void note_written(const volatile void* piece);
void fence_async_proxy();
bool unfenced(const void* piece);

}  // namespace emulation

// What the scheduler knows of the running launch: blocks, their warps and threads, and who waits where.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../device/runtime.h"
#include "fibers.h"
#include "sanitizers.h"

namespace emulation {

struct Block;

struct Thread : Current {
  Block* owner = nullptr;
  int warp = 0;
  bool done = false;
  const char* waits_in = nullptr;  // the name of the barrier or collective, for messages
  Place place = {nullptr, 0};
  Fiber fiber;
  std::vector<Copy> uncommitted;
  std::vector<std::vector<Copy>> groups;  // of cp.async, oldest first
  size_t landed = 0;                      // copies of groups[0] that next_copy() has handed out
  std::deque<std::function<void()>> deferred;  // oldest first
  std::deque<size_t> deferred_groups;          // how many of them each group has; after these, some that are not committed
  std::vector<size_t> written;                 // pieces of dynamic shared memory since the last fence_async_proxy()
};

// One collective of the lanes in `mask`. It opens when all have arrived and is free again when all have read.
struct Meeting {
  unsigned mask = 0, arrived = 0, unread = 0;
  const char* collective = nullptr;
  Place place = {nullptr, 0};
  Order order;
  Thread* waiting[32];
  unsigned char deposits[32 * kMaxDeposit];  // lane after lane, without gaps
};

struct Warp {
  unsigned members = 0, exited = 0;
  std::vector<std::unique_ptr<Meeting>> meetings;
};

// A barrier is passed in phases; two of everything, because threads of a phase may still be leaving when the next fills.
struct Barrier {
  int arrived = 0;
  unsigned phase = 0;
  int combined[2] = {0, 0};
  Place place = {nullptr, 0};
  Order orders[2];
  std::vector<Thread*> waiting;
};

struct SharedArray {
  const void* key;
  unsigned char* memory;
};

struct Block {
  static constexpr int kNamedBarriers = 16;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barrier, named[kNamedBarriers];
  std::vector<SharedArray> arrays;
  unsigned char* dynamic_shared = nullptr;
  std::vector<Thread*> writers;  // of the pieces of dynamic shared memory that were written by cp.async and not fenced
  size_t shared_bytes = 0;
  int live = 0;
};

// Of the running launch. There is one at a time: Python holds a lock.
extern Thread* running;
extern std::string error;
extern int yields;  // percent of the atomic operations that let another thread run first

void note_exit(Thread& thread);  // collectives.cpp: a thread has returned from the kernel

}  // namespace emulation

// Fibers: the scheduler's stack and one stack per resident CUDA thread. x86-64 only.
#pragma once
#include <cstddef>
#include <vector>

namespace emulation {

struct Fiber {
  unsigned char* stack = nullptr;
  void* stack_pointer = nullptr;
  void* asan_fake_stack = nullptr;
  void* tsan_fiber = nullptr;
};

// Stacks of one size with a guard page below each, kept from launch to launch.
class Stacks {
 public:
  void prepare(size_t count, size_t bytes);
  unsigned char* operator[](size_t i) const { return stacks_[i]; }
  void discard();  // after a failed launch: what was left on them would mislead the sanitizers

 private:
  std::vector<unsigned char*> stacks_;
  size_t bytes_ = 0;
};

void scheduler_is_here();                                                  // before a launch, on the thread that launches
void start(Fiber& fiber, unsigned char* stack, size_t bytes, void (*entry)());
void enter(Fiber& fiber);                                                  // scheduler to fiber; returns when the fiber leaves
void leave(Fiber& fiber, bool for_good);                                   // fiber to scheduler
void entered();                                                            // the first thing a new fiber does
void destroy(Fiber& fiber);

}  // namespace emulation

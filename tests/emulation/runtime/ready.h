// Threads that can run, and which of them runs next: the order of a launch.
#pragma once
#include <deque>

#include "state.h"

namespace emulation {

enum class Sequence { fifo, lifo, random };

class Ready {
 public:
  void reset(Sequence sequence, unsigned long long seed);
  void push(Thread* thread) { threads_.push_back(thread); }
  void push_last(Thread* thread);  // so that every other thread that can run does so before it, random order excepted
  Thread* pop();                   // null: nobody can run
  unsigned random();
  Sequence sequence() const { return sequence_; }

 private:
  Sequence sequence_ = Sequence::fifo;
  unsigned long long state_ = 1;
  std::deque<Thread*> threads_;
};
extern Ready ready;

}  // namespace emulation

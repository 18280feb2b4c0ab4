#include "ready.h"

#include <utility>

namespace emulation {

Ready ready;

void Ready::reset(Sequence sequence, unsigned long long seed) {
  sequence_ = sequence;
  threads_.clear();
  state_ = seed * 0x9E3779B97F4A7C15ull | 1;
  for (int i = 0; i < 8; i++) random();  // small seeds would start alike
}

void Ready::push_last(Thread* thread) {
  if (sequence_ == Sequence::lifo)
    threads_.push_front(thread);
  else
    threads_.push_back(thread);
}

Thread* Ready::pop() {
  if (threads_.empty()) return nullptr;
  if (sequence_ == Sequence::random) std::swap(threads_[random() % threads_.size()], threads_.front());
  Thread* thread;
  if (sequence_ == Sequence::lifo) {
    thread = threads_.back();
    threads_.pop_back();
  } else {
    thread = threads_.front();
    threads_.pop_front();
  }
  return thread;
}

// Marsaglia's xorshift64.
unsigned Ready::random() {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 7;
  state_ ^= state_ << 17;
  return static_cast<unsigned>(state_ >> 32);
}

}  // namespace emulation

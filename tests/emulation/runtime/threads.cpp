// What one CUDA thread asks for itself: scheduling points, fences, its queue of asynchronous copies, failure.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "ready.h"
#include "state.h"

namespace emulation {
namespace {
Order every_fence;
}

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  error = text;
  leave(running->fiber, false);
  abort();  // a failed launch runs no thread again
}

void maybe_yield() {
  if (!yields) return;
  Unwatched unwatched;
  if (static_cast<int>(ready.random() % 100) >= yields) return;
  ready.push(running);
  leave(running->fiber, false);
}

void pause() {
  Unwatched unwatched;
  ready.push_last(running);
  leave(running->fiber, false);
}

void fence() {
  every_fence.acquire();
  every_fence.release();
  maybe_yield();
}

void queue_copy(const Copy& copy) {
  Unwatched unwatched;
  running->uncommitted.push_back(copy);
}

void commit_copies() {
  Unwatched unwatched;
  running->groups.push_back(std::move(running->uncommitted));
  running->uncommitted.clear();
}

bool next_copy(int keep, Copy* copy) {
  Unwatched unwatched;
  auto& groups = running->groups;
  while (static_cast<int>(groups.size()) > keep) {
    if (running->landed < groups.front().size()) {
      *copy = groups.front()[running->landed++];
      return true;
    }
    groups.erase(groups.begin());
    running->landed = 0;
  }
  return false;
}

}  // namespace emulation

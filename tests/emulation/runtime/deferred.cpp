// Work that runs beside the thread which began it, and what the asynchronous proxy sees of shared memory.
#include <utility>

#include "state.h"

namespace emulation {
namespace {

// The number of a piece of dynamic shared memory; past the last one: it is none.
size_t piece_number(const volatile void* piece) {
  return (static_cast<const volatile unsigned char*>(piece) - running->owner->dynamic_shared) / 16;
}

}  // namespace

void defer(std::function<void()> work) {
  Unwatched unwatched;
  running->deferred.push_back(std::move(work));
}

void commit_deferred() {
  Unwatched unwatched;
  size_t committed = 0;
  for (size_t group : running->deferred_groups) committed += group;
  running->deferred_groups.push_back(running->deferred.size() - committed);
}

bool next_deferred(int keep, std::function<void()>* work) {
  Unwatched unwatched;
  auto& groups = running->deferred_groups;
  while (static_cast<int>(groups.size()) > keep) {
    if (groups.front() > 0) {
      groups.front()--;
      *work = std::move(running->deferred.front());
      running->deferred.pop_front();
      return true;
    }
    groups.pop_front();
  }
  return false;
}

void note_written(const volatile void* piece) {
  Unwatched unwatched;
  auto& writers = running->owner->writers;
  const size_t number = piece_number(piece);
  if (number >= writers.size() || writers[number] == running) return;
  writers[number] = running;
  running->written.push_back(number);
}

void fence_async_proxy() {
  Unwatched unwatched;
  auto& writers = running->owner->writers;
  for (size_t number : running->written)
    if (writers[number] == running) writers[number] = nullptr;
  running->written.clear();
}

bool unfenced(const void* piece) {
  Unwatched unwatched;
  const auto& writers = running->owner->writers;
  const size_t number = piece_number(piece);
  return number < writers.size() && writers[number] != nullptr;
}

}  // namespace emulation

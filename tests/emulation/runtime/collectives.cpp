// Barriers of a block and collectives of a warp. A thread that comes too early waits; the last to come frees all. What the device
// leaves undefined is an error here: lanes that meet in different places, masks that name lanes which have exited, barriers that
// part of the block never reaches.
#include <cstring>

#include "ready.h"
#include "state.h"

namespace emulation {
namespace {

bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
bool same(const Place& a, const Place& b) { return a.line == b.line && same(a.file, b.file); }

void wait(const char* what, const Place& place) {
  running->waits_in = what;
  running->place = place;
  leave(running->fiber, false);
}

void free_thread(Thread* thread) {
  thread->waits_in = nullptr;
  ready.push(thread);
}

void open(Barrier& barrier) {
  barrier.phase++;
  barrier.arrived = 0;
  barrier.combined[barrier.phase & 1] = 0;
  for (Thread* thread : barrier.waiting) free_thread(thread);
  barrier.waiting.clear();
}

void open(Meeting& meeting) {
  meeting.unread = meeting.arrived;
  for (int lane = 0; lane < 32; lane++)
    if (meeting.arrived >> lane & 1) free_thread(meeting.waiting[lane]);
  meeting.arrived = 0;
}

// A meeting that gathers lanes of this mask, or a free one. A free one that had the same mask is taken first: to TSan, a meeting
// orders the lanes that have ever met in it.
Meeting& meeting_for(Warp& warp, unsigned mask) {
  constexpr size_t kSpare = 8;
  Meeting *former = nullptr, *any = nullptr;
  for (auto& meeting : warp.meetings) {
    if (meeting->arrived && meeting->mask == mask) return *meeting;
    if (meeting->arrived || meeting->unread) continue;
    if (meeting->mask == mask) former = meeting.get();
    any = meeting.get();
  }
  if (former) return *former;
  if (any && warp.meetings.size() >= kSpare) return *any;
  warp.meetings.push_back(std::make_unique<Meeting>());
  return *warp.meetings.back();
}

}  // namespace

int block_barrier(bool predicate, Combine combine, Place place) {
  Unwatched unwatched;
  Block& block = *running->owner;
  Barrier& barrier = block.barrier;
  const int threads = static_cast<int>(block.threads.size());
  if (block.live < threads)
    fail("barrier: __syncthreads at %s:%d after %d threads of the block have exited", place.file, place.line,
         threads - block.live);
  if (barrier.arrived && !same(barrier.place, place))
    fail("barrier: threads of one block meet at different __syncthreads (%s:%d and %s:%d)", barrier.place.file,
         barrier.place.line, place.file, place.line);
  const unsigned phase = barrier.phase & 1;
  int& combined = barrier.combined[phase];
  if (!barrier.arrived) combined = combine == Combine::all;
  if (combine == Combine::any) combined |= predicate;
  if (combine == Combine::all) combined &= predicate;
  if (combine == Combine::count) combined += predicate;
  barrier.place = place;
  barrier.arrived++;
  barrier.orders[phase].release();
  barrier.waiting.push_back(running);
  if (barrier.arrived == block.live) open(barrier);
  wait("__syncthreads", place);
  barrier.orders[phase].acquire();
  return combined;
}

void named_barrier(int id, int threads, bool waits, Place place) {
  Unwatched unwatched;
  if (id < 1 || id >= Block::kNamedBarriers) fail("barrier: %d at %s:%d, not 1 to 15", id, place.file, place.line);
  if (threads <= 0 || threads % 32) fail("barrier: %d threads at %s:%d, not whole warps", threads, place.file, place.line);
  Barrier& barrier = running->owner->named[id];
  const unsigned phase = barrier.phase & 1;
  barrier.arrived++;
  barrier.orders[phase].release();
  if (waits) barrier.waiting.push_back(running);
  if (barrier.arrived >= threads) open(barrier);
  if (!waits) return;
  wait("a named barrier", place);
  barrier.orders[phase].acquire();
}

void exchange(const char* collective, unsigned mask, const void* in, int bytes, void* out, bool orders_memory, Place place) {
  Unwatched unwatched;
  Thread& thread = *running;
  Warp& warp = thread.owner->warps[thread.warp];
  if (!(mask >> thread.lane & 1))
    fail("warp: lane %d is not in its own mask %08x (%s at %s:%d)", thread.lane, mask, collective, place.file, place.line);
  if (mask & warp.exited)
    fail("warp: mask %08x names lanes that have exited (%s at %s:%d)", mask, collective, place.file, place.line);
  mask &= warp.members;  // the last warp of a block may be incomplete
  Meeting& meeting = meeting_for(warp, mask);
  if (meeting.arrived && !(same(meeting.collective, collective) && same(meeting.place, place)))
    fail("warp: lanes meet in different collectives (%s at %s:%d and %s at %s:%d)", meeting.collective, meeting.place.file,
         meeting.place.line, collective, place.file, place.line);
  if (!meeting.arrived) {
    meeting.mask = mask;
    meeting.collective = collective;
    meeting.place = place;
    if (mask != ~0u) std::memset(meeting.deposits, 0xcd, 32 * bytes);
  }
  std::memcpy(meeting.deposits + thread.lane * bytes, in, bytes);
  meeting.arrived |= 1u << thread.lane;
  meeting.waiting[thread.lane] = &thread;
  if (orders_memory) meeting.order.release();
  if (meeting.arrived == mask) open(meeting);
  wait(collective, place);
  if (orders_memory) meeting.order.acquire();
  std::memcpy(out, meeting.deposits, 32 * bytes);
  meeting.unread &= ~(1u << thread.lane);
}

void note_exit(Thread& thread) {
  Block& block = *thread.owner;
  Warp& warp = block.warps[thread.warp];
  block.live--;
  warp.exited |= 1u << thread.lane;
  if (!thread.groups.empty() || !thread.uncommitted.empty()) error = "cp.async: a thread exits while copies are pending";
  if (!thread.deferred.empty()) error = "wgmma: a thread exits while products are pending";
  if (block.barrier.arrived)
    error = "barrier: __syncthreads at " + std::string(block.barrier.place.file) + ":" +
            std::to_string(block.barrier.place.line) + " while other threads of the block exit";
  for (auto& meeting : warp.meetings)
    if (meeting->arrived && meeting->mask >> thread.lane & 1)
      error = "warp: a lane exits while others wait for it (" + std::string(meeting->collective) + " at " +
              meeting->place.file + ":" + std::to_string(meeting->place.line) + ")";
}

}  // namespace emulation

// A device's memory, the order of its work and its time.
#pragma once

#include <functional>
#include <memory>

#include "core/clock.h"
#include "core/tensor.h"

namespace claa {

// A point in the order of a device's work.
struct Moment {
  Stopwatch host;                // started then
  std::shared_ptr<void> device;  // the mark of a device that works on its own
};

class Device {
 public:
  virtual ~Device() = default;

  virtual Buffer allocate(size_t bytes) = 0;
  virtual void upload(const void* host, size_t bytes, void* device) = 0;
  virtual void download(const void* device, size_t bytes, void* host) = 0;
  virtual void clear(void* device, size_t bytes) = 0;               // to zeros
  virtual void copy(const void* from, size_t bytes, void* to) = 0;  // of the device's memory, apart
  // Most device memory in use since the last call; 0 where that is the process's own memory.
  virtual size_t peak_bytes() { return 0; }
  // Device memory that allocate() can still give; 0 where that is the machine's own memory.
  virtual size_t free_bytes() { return 0; }
  // Allocates `bytes` of device memory up front, for the next allocate() calls, unless the process holds as
  // much unused: no layer then waits for the driver, and shortage shows before the first one. Throws
  // kOutOfMemory.
  virtual void reserve(size_t /*bytes*/) {}

  // Waits for all work; where nothing is left running, it returns at once.
  virtual void synchronize() {}
  // Runs a step that repeats with other ids, positions, slots, visible slots and cache lengths but the same
  // memory, as a decode step does; a device may record it once. It may run `work` several times, so `work`
  // must not change the caller's state. It may call clear(), the operations of Ops from embed() to
  // add_rows(), and attention() without packed K and V.
  virtual void repeat(const std::function<void()>& work) { work(); }
  // Runs a decode step that repeat() cannot take, such as one that is looked into. A device may round the few
  // rows of decode steps more coarsely than those of a prompt.
  virtual void decode(const std::function<void()>& work) { work(); }
  // A point after all that the device has been asked for until now, and the milliseconds of its work between
  // two such points, the later of which it must have reached.
  virtual Moment mark() { return {}; }
  virtual double ms_between(const Moment& from, const Moment& to) { return from.host.ms() - to.host.ms(); }
};

}  // namespace claa

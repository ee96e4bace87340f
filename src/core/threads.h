// Threads that share the pieces of a job. Which thread does a piece never changes a result.
#pragma once

#include <algorithm>
#include <cstdint>

namespace claa {

class Threads {
 public:
  virtual ~Threads() = default;
  // Threads that work on a job, the calling one included.
  virtual int count() const = 0;
  // Calls piece(index, thread) once for every index in [0, pieces) and returns when all of them are done.
  // `thread` is in [0, count()), and no two pieces of a job that are under way have the same one. A thread
  // begins with a share of neighbouring pieces, and then takes what the others have not begun. The first
  // exception of a piece is thrown again here, and pieces that have not begun by then are left out.
  template <class Piece>
  void run(int64_t pieces, const Piece& piece) {
    do_run(
        pieces,
        [](const void* context, int64_t index, int thread) {
          (*static_cast<const Piece*>(context))(index, thread);
        },
        &piece);
  }
  // Calls part(first, end, thread) for ranges that make up [0, size). A thread has several ranges in a row,
  // so that another one can take over what a thread without a core has not begun.
  template <class Part>
  void split(int64_t size, const Part& part) {
    constexpr int64_t kPartsOfThread = 4;
    const int64_t parts = count() == 1 ? 1 : std::min(size, kPartsOfThread * count());
    run(parts,
        [&](int64_t index, int thread) { part(size * index / parts, size * (index + 1) / parts, thread); });
  }

 protected:
  using Call = void (*)(const void* context, int64_t index, int thread);
  virtual void do_run(int64_t pieces, Call call, const void* context) = 0;
};

}  // namespace claa

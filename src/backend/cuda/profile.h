// Measures time by kind of work, from events around every operation.
#pragma once

#include <array>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/check.h"

namespace claa::cuda {

enum class Stage { kLinear, kAttention, kScores, kSelect, kRest };

class Profile {
 public:
  explicit Profile(cudaStream_t stream) : stream_(stream) {}
  ~Profile() { clear(); }
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  void start();
  bool running() const { return running_; }
  std::vector<StageTime> stop();  // waits for the stream

  // Marks one operation; does nothing while no profile runs.
  class Scope {
   public:
    Scope(Profile& profile, Stage stage);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Profile* profile_ = nullptr;
    size_t index_ = 0;
  };

 private:
  struct Span {
    Stage stage;
    cudaEvent_t begin = nullptr, end = nullptr;
  };
  void clear();

  cudaStream_t stream_;
  bool running_ = false;
  std::vector<Span> spans_;
};

}  // namespace claa::cuda

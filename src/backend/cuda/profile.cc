#include "backend/cuda/profile.h"

namespace claa::cuda {

Profile::Scope::Scope(Profile& profile, Stage stage) {
  if (!profile.running_) return;
  Span span{stage};
  if (cudaEventCreate(&span.begin) != cudaSuccess || cudaEventCreate(&span.end) != cudaSuccess) return;
  cudaEventRecord(span.begin, profile.stream_);
  profile_ = &profile;
  index_ = profile.spans_.size();
  profile.spans_.push_back(span);
}

Profile::Scope::~Scope() {
  if (profile_ != nullptr) cudaEventRecord(profile_->spans_[index_].end, profile_->stream_);
}

void Profile::start() {
  clear();
  running_ = true;
}

std::vector<StageTime> Profile::stop() {
  running_ = false;
  check(cudaStreamSynchronize(stream_), "profile");
  std::vector<StageTime> times;
  for (const char* stage : {"linear", "attention", "scores", "select", "rest"}) {
    times.push_back({stage, 0, 0, {}});
  }
  for (const Span& span : spans_) {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, span.begin, span.end), "profile");
    times[static_cast<size_t>(span.stage)].ms += static_cast<double>(ms);
  }
  clear();
  return times;
}

void Profile::clear() {
  for (const Span& span : spans_) {
    cudaEventDestroy(span.begin);
    cudaEventDestroy(span.end);
  }
  spans_.clear();
}

}  // namespace claa::cuda

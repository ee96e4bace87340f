// Time that a device spends on selection: the spans are added up once all work is done.
#pragma once

#include <utility>
#include <vector>

#include "backend/backend.h"

namespace claa {

class SelectClock {
 public:
  explicit SelectClock(Backend& backend) : backend_(backend) {}
  // Measures from its construction to its destruction; without a clock nothing.
  class Scope {
   public:
    explicit Scope(SelectClock* clock) : clock_(clock) {
      if (clock_ != nullptr) begin_ = clock_->backend_.mark();
    }
    ~Scope() {
      if (clock_ != nullptr) clock_->spans_.emplace_back(std::move(begin_), clock_->backend_.mark());
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    SelectClock* clock_;
    Moment begin_;
  };
  // Device time; call after the work is done.
  double ms() const {
    double total = 0;
    for (const auto& [begin, end] : spans_) total += backend_.ms_between(begin, end);
    return total;
  }

 private:
  Backend& backend_;
  std::vector<std::pair<Moment, Moment>> spans_;
};

}  // namespace claa

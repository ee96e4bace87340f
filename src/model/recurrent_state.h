// The state of one recurrent layer of a sequence, owning its memory: what it carries from row to row.
#pragma once

#include "backend/backend.h"
#include "model/config.h"

namespace claa {

struct RecurrentState {
  Buffer memory;
  DeltaState view;
};

size_t recurrent_state_bytes(const DeltaSpec& delta);
// Zeros: the state before the first row.
RecurrentState make_recurrent_state(const DeltaSpec& delta, Backend& backend);

}  // namespace claa

// Memory of the machine that this process may still take.
#pragma once

#include <cstddef>

namespace claa {

// What the system can give without swapping, or the limit of the control group if that is less; 0 if unknown.
size_t available_memory();

}  // namespace claa

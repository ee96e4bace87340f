// Physical cores that this process may use.
#pragma once

namespace claa {

// Distinct cores among the CPUs of the affinity mask; at least 1.
int physical_cores();

}  // namespace claa

// A 64-bit fingerprint of bytes (XXH3). It distinguishes files and finds damage; it does not protect against
// an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace claa {

uint64_t fingerprint(std::span<const std::byte> bytes);

}  // namespace claa

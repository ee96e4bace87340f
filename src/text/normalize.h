// Unicode normalisation for tokenizers that ask for it.
#pragma once

#include <string>
#include <string_view>

namespace claa {

// Normalization form C of valid UTF-8, in O(n log n) for any input (utf8proc's own ordering of combining
// marks is quadratic in the length of a run of marks, so the ordering is done here).
//
// The tables are those of the installed utf8proc (2.8: Unicode 15). The Python package's are older: it does
// not know the classes of 98 of the 912 combining marks of Unicode 14, and one composition (U+11938). Text in
// which such a mark stands out of order next to another mark gets other ids there.
std::string normalize_nfc(std::string_view text);

// True if normalize_nfc() can change anything: false when no character is at or above U+0300.
bool may_need_nfc(std::string_view text);

}  // namespace claa

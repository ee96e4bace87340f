// The words that keys and word lists are made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/tasks/random.h"

namespace claa::eval {

// Lower-case ASCII; no word is in two lists or twice in one.
const std::vector<std::string_view>& nouns();
const std::vector<std::string_view>& adjectives();
const std::vector<std::string_view>& verbs();

// An adjective and a noun, such as "quiet-harbor".
std::string random_compound(Random& random);

}  // namespace claa::eval

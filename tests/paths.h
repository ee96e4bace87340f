// Where the tests find their files. One unit alone knows the folders, so that all others compile to the same
// objects in every checkout.
#pragma once

#include <string>
#include <string_view>

namespace claa {

std::string test_data(std::string_view name);    // tests/data/NAME
std::string source_file(std::string_view name);  // NAME in the root of the repository
std::string test_model();                        // SmolLM2-135M-Instruct, which scripts/test.sh fetches

}  // namespace claa

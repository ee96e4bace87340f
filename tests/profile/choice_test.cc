// Which profile is found for a model, and what profile and quality make of the parameters.
#include "profile/choice.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "claa/error.h"

namespace claa {
namespace {

namespace fs = std::filesystem;

uint64_t bundled_fingerprint() {
  return parse_profile(bundled_profiles().front().text, "bundled").model_fingerprint;
}

ProfileFinder finder(const std::string& wanted, const std::string& model = "m.gguf",
                     uint64_t fingerprint = bundled_fingerprint()) {
  return {wanted, model, [fingerprint] { return fingerprint; }};
}

void expect_refused(const std::string& part, const std::function<void()>& function) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

const MethodInfo& method(const std::string& name) {
  static const MethodRegistry registry = builtin_methods();
  return registry.find(name);
}

// A folder with the file of a bundled profile beside m.gguf, with `from` in it replaced by `to`.
class ProfileBeside : public testing::Test {
 protected:
  ProfileBeside() : folder_(fs::temp_directory_path() / ("claa-profile-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~ProfileBeside() override { fs::remove_all(folder_); }
  std::string model() const { return (folder_ / "m.gguf").string(); }
  std::string write(const std::string& from, const std::string& to) const {
    std::string text(bundled_profiles().front().text);
    text.replace(text.find(from), from.size(), to);
    const std::string path = (folder_ / "m.profile.json").string();
    std::ofstream(path) << text;
    return path;
  }
  fs::path folder_;
};

// Whatever its name, a method is judged by its parameters: one of a program's own is not refused.
TEST(ProfileChoice, AMethodOfOnesOwnTakesNone) {
  MethodInfo own;
  own.name = "own";
  EXPECT_EQ(finder("auto").choose("", own, {{"keep", "0.3"}}).params, (ParamValues{{"keep", "0.3"}}));
  expect_refused("quality fast is for method claa, not own", [&] { finder("auto").choose("fast", own, {}); });
}

TEST(ProfileChoice, AutoFindsTheBundledOne) {
  const ProfileChoice choice = finder("auto").choose("", method("claa"), {{"keep", "0.3"}});
  EXPECT_EQ(choice.profile, "bundled");
  EXPECT_EQ(choice.note, "profile bundled");
  EXPECT_EQ(choice.params.at("keep"), "0.3");
  EXPECT_FALSE(choice.params.at("heads").empty());
  EXPECT_EQ(choice.params.count("early_drops"), 0u);
}

TEST(ProfileChoice, SaysWhyThereIsNone) {
  EXPECT_EQ(finder("none").choose("", method("claa"), {}).note, "no profile");
  EXPECT_EQ(finder("auto", "m.gguf", 1).choose("", method("claa"), {}).note,
            "no profile: the paper's settings");
  EXPECT_EQ(finder("auto", "").choose("", method("claa"), {}).note, "no profile: the paper's settings");
  const ProfileChoice own = finder("auto").choose("", method("claa"), {{"last_layers", "2"}});
  EXPECT_EQ(own.note, "no profile: settings of your own");
  EXPECT_EQ(own.params, (ParamValues{{"last_layers", "2"}}));
  EXPECT_EQ(finder("auto").choose("", method("full"), {}).note, "");
}

TEST(ProfileChoice, AQualityIsAPreset) {
  const ProfileChoice balanced = finder("auto").choose("balanced", method("claa"), {});
  EXPECT_EQ(balanced.params.at("keep"), "0.5");
  EXPECT_EQ(balanced.params.at("mass"), "0.7");
  const ProfileChoice fast = finder("auto").choose("fast", method("claa"), {});
  EXPECT_EQ(fast.params.at("keep"), "0.2");
  EXPECT_EQ(fast.params.at("early_drops"), "10:0.6");
  EXPECT_EQ(finder("auto").choose("faithful", method("claa"), {{"keep", "0.3"}}).params.at("keep"), "0.3");
}

TEST(ProfileChoice, RefusesAQualityThatCannotBe) {
  expect_refused("unknown quality 'best'; choose fast, balanced or faithful",
                 [] { finder("auto").choose("best", method("claa"), {}); });
  expect_refused("quality fast is for method claa, not snapkv",
                 [] { finder("auto").choose("fast", method("snapkv"), {}); });
  expect_refused("quality balanced needs a profile of the model",
                 [] { finder("none").choose("balanced", method("claa"), {}); });
  expect_refused("needs a profile of the model",
                 [] { finder("auto", "m.gguf", 1).choose("fast", method("claa"), {}); });
}

TEST_F(ProfileBeside, ComesBeforeTheBundledOne) {
  const std::string path = write("\"window\":64", "\"window\":17");
  EXPECT_EQ(finder("auto", model()).choose("", method("claa"), {}).params.at("window"), "17");
  EXPECT_EQ(finder("auto", model()).choose("", method("claa"), {}).profile, path);
  // A named file leaves what is given as it is.
  const ProfileChoice named = finder(path, model()).choose("", method("claa"), {{"window", "5"}});
  EXPECT_EQ(named.params.at("window"), "5");
  EXPECT_FALSE(named.params.at("heads").empty());
  expect_refused("aggregator has no effect with a profile", [&] {
    finder(path, model()).choose("", method("claa"), {{"aggregator", "sum"}});
  });
}

TEST_F(ProfileBeside, OfAnotherModelIsAnErrorWhereItIsNeeded) {
  const std::string path = write("c0a5d42a4bf30ed1", "0123456789abcdef");
  const ProfileFinder automatic = finder("auto", model());
  EXPECT_NO_THROW(automatic.choose("", method("full"), {}));
  EXPECT_NO_THROW(automatic.choose("", method("claa"), {{"heads", "1.1"}}));
  expect_refused("was made for another model", [&] { automatic.choose("", method("claa"), {}); });
  expect_refused("was made for another model", [&] { finder(path, model()); });
  expect_refused("needs the file of the model", [&] { finder(path, ""); });
}

TEST_F(ProfileBeside, WithoutAnEarlyDropIsNotFast) {
  const std::string path = write("\"early\":", "\"late\":");
  expect_refused("quality fast needs a profile with an early drop",
                 [&] { finder(path, model()).choose("fast", method("claa"), {}); });
  EXPECT_NO_THROW(finder(path, model()).choose("balanced", method("claa"), {}));
}

}  // namespace
}  // namespace claa

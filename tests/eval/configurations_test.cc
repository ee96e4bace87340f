// The configurations of an evaluation: rates, parameters, sweeps, suites, baselines.
#include "eval/study/configurations.h"

#include "eval/study/suite.h"
#include "eval_support.h"
#include "paths.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> labels(const std::vector<Configuration>& configurations) {
  std::vector<std::string> labels;
  for (const Configuration& configuration : configurations) labels.push_back(configuration.label);
  return labels;
}

std::string effective(const Configuration& configuration, const std::string& name) {
  for (const auto& [key, value] : configuration.effective) {
    if (key == name) return value;
  }
  return "none";
}

std::string write(const fs::path& folder, const std::string& text) {
  const fs::path path = folder / "file.json";
  std::ofstream(path) << text;
  return path.string();
}

TEST(Configurations, MethodsWithARateRunOnceARate) {
  const auto all =
      make_configurations({{"full", "claa", "fastkv"}, {"0.1", "0.2"}, {{"last_layers", "2"}}, ""});
  EXPECT_EQ(labels(all),
            (std::vector<std::string>{"full", "claa 0.1", "claa 0.2", "fastkv 0.1", "fastkv 0.2"}));
  EXPECT_EQ(effective(all[1], "last_layers"), "2");
  EXPECT_EQ(effective(all[3], "last_layers"), "none");
  EXPECT_EQ(effective(all[2], "keep"), "0.2");
}

TEST(Configurations, RefusesWhatNoMethodKnows) {
  const auto make = [](const ConfigurationOptions& options) {
    return [options] { make_configurations(options); };
  };
  expect_error(ErrorCode::kInvalidArgument, "unknown method 'clara'", make({{"clara"}, {"0.2"}, {}, ""}));
  expect_error(ErrorCode::kInvalidArgument, "--set windw", make({{"claa"}, {"0.2"}, {{"windw", "3"}}, ""}));
  expect_error(ErrorCode::kInvalidArgument, "keep must be", make({{"claa"}, {"2"}, {}, ""}));
  expect_error(ErrorCode::kInvalidArgument, "'full'", make({{"full", "full"}, {"0.2"}, {}, ""}));
  expect_error(ErrorCode::kInvalidArgument, "nothing to evaluate", make({{}, {"0.2"}, {}, ""}));
}

TEST(Configurations, SweepsExpandTheirGrids) {
  const ScratchFolder folder;
  const std::string path = write(folder.path(), R"({"configurations": [
    {"method": "claa", "grid": {"first_layer": [0, 4], "head_fold": ["max", "sum"]}, "params": {"keep": 0.1}},
    {"label": "few", "method": "fastkv", "params": {"window": 4}}]})");
  const auto all = make_configurations({{"full"}, {"0.3"}, {}, path});
  EXPECT_EQ(labels(all),
            (std::vector<std::string>{"full", "claa first_layer=0 head_fold=max",
                                      "claa first_layer=0 head_fold=sum", "claa first_layer=4 head_fold=max",
                                      "claa first_layer=4 head_fold=sum", "few 0.3"}));
  EXPECT_EQ(effective(all[4], "head_fold"), "sum");
  EXPECT_EQ(effective(all[4], "keep"), "0.1");
  EXPECT_EQ(all[5].line, "few");
}

TEST(Configurations, BundledSweepsAreSound) {
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(source_file("sweeps"))) {
    const auto all = make_configurations({{"full"}, {"0.1", "0.2"}, {}, entry.path().string()});
    EXPECT_GT(all.size(), 3u) << entry.path();
    ++files;
    EXPECT_TRUE(entry.path().stem() != "control_2x2x2" || all.size() == 1 + 8 * 2) << all.size();
  }
  EXPECT_GE(files, 8u);
}

// Each configuration's own choice of profile, or else the one for all; files lie beside the sweep.
TEST(Configurations, LookUpTheirProfiles) {
  const ScratchFolder folder;
  ConfigurationOptions options{{"full", "claa"}, {"0.2"}, {}, write(folder.path(), R"({"configurations": [
    {"label": "none", "method": "claa", "profile": "none", "params": {"window": 16}},
    {"label": "file", "method": "claa", "profile": "../p.json"},
    {"label": "as all", "method": "claa"}]})")};
  options.profile = "all.json";
  std::vector<std::string> asked;
  options.find_profile = [&](const std::string& wanted, const std::string& method,
                             const ParamValues& params) {
    asked.push_back(wanted + " " + method + (params.count("window") != 0 ? " w" : ""));
    Profiled found{params, method == "full" || wanted == "none" ? "" : wanted};
    if (!found.profile.empty()) found.params["kernel"] = "13";
    return found;
  };
  const auto all = make_configurations(options);
  const std::string file = (folder.path().parent_path() / "p.json").string();
  EXPECT_EQ(asked, (std::vector<std::string>{"all.json full", "all.json claa", "none claa w", file + " claa",
                                             "all.json claa"}));
  EXPECT_EQ(all[1].profile, "all.json");
  EXPECT_EQ(effective(all[1], "kernel"), "13");
  EXPECT_EQ(effective(all[2], "kernel"), "7");
  EXPECT_EQ(all[3].profile, file);
  EXPECT_EQ(to_json(all)[3].at("profile").as_string(), file);
}

TEST(Configurations, BadSweepsNameTheField) {
  const ScratchFolder folder;
  const std::pair<const char*, const char*> cases[] = {
      {"{", "is not JSON"},
      {"[]", "one JSON object"},
      {"{}", "'configurations' is missing"},
      {R"({"configurations": []})", "is empty"},
      {R"({"configurations": [3]})", "list of objects"},
      {R"({"configurations": [{"label": "x"}]})", "configurations[0]: field 'method' is missing"},
      {R"({"configurations": [{"method": "claa", "parms": {}}]})", "unknown field 'parms'"},
      {R"({"configurations": [{"method": "claa", "grid": {"window": 4}}]})", "grid.window must be a list"},
      {R"({"configurations": [{"method": "claa", "params": {"window": true}}]})", "params.window"},
      {R"({"configurations": [{"method": "claa", "params": {"windw": 4}}]})", "windw"},
      {R"({"configurations": [{"method": "full"}, {"method": "full"}]})", "'full'"},
  };
  for (const auto& [text, words] : cases) {
    const std::string path = write(folder.path(), text);
    expect_error(ErrorCode::kInvalidArgument, words, [&] { make_configurations({{}, {"0.2"}, {}, path}); });
  }
}

TEST(Configurations, BaselineIsOfTheSameRate) {
  const auto all = make_configurations({{"full", "claa", "fastkv"}, {"0.1", "0.2"}, {}, ""});
  EXPECT_EQ(baseline_of(all, all[2], "full")->label, "full");
  EXPECT_EQ(baseline_of(all, all[4], "claa")->label, "claa 0.2");
  EXPECT_EQ(baseline_of(all, all[4], "claa 0.1")->label, "claa 0.1");
  EXPECT_EQ(baseline_of(all, all[0], "full"), nullptr);
  EXPECT_EQ(baseline_of(all, all[0], "snapkv"), nullptr);
}

TEST(Suite, ReadsAndRefuses) {
  const ScratchFolder folder;
  const Suite suite =
      read_suite(write(folder.path(), R"({"tasks": ["niah"], "keep": [0.1, 0.25], "seeds": [3],
    "examples": 4, "haystack": "text.txt",
    "thresholds": [{"configuration": "claa 0.1", "row": "niah", "at_least": 30}]})"));
  EXPECT_EQ(suite.keeps, (std::vector<std::string>{"0.1", "0.25"}));
  EXPECT_EQ(suite.haystack, (folder.path() / "text.txt").string()) << "paths are beside the suite";
  EXPECT_EQ(suite.thresholds[0].at_least, 30);
  EXPECT_EQ(suite.thresholds[0].metric, "score");
  const std::pair<const char*, const char*> cases[] = {
      {R"({"task": ["niah"]})", "unknown field 'task'"},
      {R"({"tasks": "niah"})", "must be a list"},
      {R"({"thresholds": [{"configuration": "full", "row": "niah"}]})", "'at_least' or 'at_most'"},
      {R"({"thresholds": [{"configuration": "full", "row": "niah", "metric": "f1", "at_least": 1}]})",
       "'f1'"},
      {R"({"lengths": [1.5]})", "list of integers"},
  };
  for (const auto& [text, words] : cases) {
    const std::string path = write(folder.path(), text);
    expect_error(ErrorCode::kInvalidArgument, words, [&] { read_suite(path); });
  }
}

}  // namespace
}  // namespace claa::eval

// Profiles: round trip, every refusal, and where they are found.
#include "eval/calibration/profile_file.h"

#include "claa/registry.h"
#include "eval/eval_support.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

Profile example() {
  Profile profile;
  profile.model = "Überm \"odel\"";
  profile.model_fingerprint = 0xfedcba9876543210;
  profile.layers = 30, profile.heads = 9;
  profile.window = 32, profile.kernel = 13, profile.pooling = "max";
  profile.selection_layer = 18, profile.first_layer = 19;
  profile.chosen = {{3, 0, 2}, {3, 8, 0.1f}, {18, 1, 1}};
  profile.early = {10, 0.6};
  profile.early_heads = {{2, 1, 1}, {10, 0, 3}};
  return profile;
}

json::object file_of(const Profile& profile) {
  return to_json(MadeProfile{profile, {{"prompts", 12}, {"groups", json::object{{"a", 6}, {"b", 6}}}}});
}

// The published rule instead of heads.
Profile rule_example() {
  Profile profile = example();
  profile.chosen.clear();
  profile.early_heads.clear();
  profile.early = {};
  profile.last_layers = 4;
  return profile;
}

TEST(Profile, SurvivesItsFile) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "m.profile.json").string();
  const Profile expected = example();
  write_profile(path, MadeProfile{expected, {{"prompts", 12}}});
  const Profile actual = read_profile(path);
  EXPECT_EQ(actual.model, expected.model);
  EXPECT_EQ(actual.model_fingerprint, expected.model_fingerprint);
  EXPECT_EQ(actual.layers, 30);
  EXPECT_EQ(actual.heads, 9);
  EXPECT_EQ(actual.window, 32);
  EXPECT_EQ(actual.kernel, 13);
  EXPECT_EQ(actual.pooling, "max");
  EXPECT_EQ(actual.selection_layer, 18);
  EXPECT_EQ(actual.first_layer, 19);
  EXPECT_EQ(actual.chosen, expected.chosen);
  EXPECT_EQ(actual.early, expected.early);
  EXPECT_EQ(actual.early_heads, expected.early_heads);
  EXPECT_EQ(json::parse(content_of(path)).at("calibration").at("prompts"), 12);
}

TEST(Profile, NeedsNoEarlyDrop) {
  Profile plain = example();
  plain.early_heads.clear();
  const Profile actual = parse_profile(json::serialize(file_of(plain)), "p");
  EXPECT_TRUE(actual.early_heads.empty());
  EXPECT_EQ(early_drops_param(actual), "");
  EXPECT_EQ(early_drops_param(example()), "10:0.6");
}

TEST(Profile, BecomesParametersThatTheMethodTakes) {
  const ParamValues params = profile_params(example());
  EXPECT_EQ(params.at("heads"), "3.0*2,3.8*0.1,18.1");
  EXPECT_EQ(params.at("early_heads"), "2.1,10.0*3");
  EXPECT_EQ(params.count("early_drops"), 0u);  // applied only on request
  const auto method = builtin_methods().create("claa", params);
  for (const auto& [name, value] : method->params()) {
    if (params.count(name) != 0) {
      EXPECT_EQ(value, params.at(name)) << name;
    }
  }
}

TEST(Profile, HoldsThePublishedRule) {
  const json::object object = file_of(rule_example());
  EXPECT_EQ(object.at("claa_profile"), json::value(2));
  EXPECT_EQ(file_of(example()).at("claa_profile"), json::value(1));  // so that older programs read it
  const Profile actual = parse_profile(json::serialize(object), "p");
  EXPECT_TRUE(actual.chosen.empty());
  EXPECT_EQ(actual.last_layers, 4);
  EXPECT_EQ(actual.window, 32);
  EXPECT_EQ(actual.kernel, 13);
  EXPECT_EQ(actual.selection_layer, 18);
  EXPECT_EQ(actual.first_layer, 19);
  const ParamValues params = profile_params(actual);
  EXPECT_EQ(params.at("last_layers"), "4");
  EXPECT_EQ(params.count("heads") + params.count("early_heads"), 0u);
  const auto method = builtin_methods().create("claa", params);
  for (const auto& [name, value] : method->params()) {
    if (params.count(name) != 0) {
      EXPECT_EQ(value, params.at(name)) << name;
    }
  }
  // Version 2 may have heads as well.
  json::object heads = file_of(example());
  heads["claa_profile"] = 2;
  EXPECT_EQ(parse_profile(json::serialize(heads), "p").chosen, example().chosen);
}

TEST(Profile, RuleIsRefusedWhenDamaged) {
  const json::object whole = file_of(rule_example());
  const auto refused = [&](const char* field, const json::value& value, const std::string& complaint) {
    json::object changed = whole;
    changed[field] = value;
    expect_error(ErrorCode::kCorruptFile, complaint, [&] { parse_profile(json::serialize(changed), "p"); });
  };
  refused("claa_profile", 1, "the field 'heads' is missing");
  refused("last_layers", 0, "'last_layers' must be an integer from 1 to 19, not 0");
  refused("last_layers", 20, "'last_layers' must be an integer from 1 to 19, not 20");
  refused("last_layers", "4", "'last_layers' must be an integer");
  refused("heads", file_of(example()).at("heads"), "both 'last_layers' and 'heads'");
  refused("early", file_of(example()).at("early"), "both 'last_layers' and 'early'");
  json::object neither = whole;
  neither.erase("last_layers");
  expect_error(ErrorCode::kCorruptFile, "the field 'heads' is missing",
               [&] { parse_profile(json::serialize(neither), "p"); });
}

TEST(Profile, IsRefusedForAnotherModel) {
  EXPECT_NO_THROW(check_profile(example(), 0xfedcba9876543210, "p.json"));
  expect_error(ErrorCode::kInvalidArgument, "'p.json' was made for another model",
               [] { check_profile(example(), 1, "p.json"); });
}

TEST(Profile, IsRefusedWhenCutOff) {
  const std::string text = json::serialize(file_of(example()));
  for (size_t length = 0; length < text.size(); ++length) {
    expect_error(ErrorCode::kCorruptFile, "not a whole JSON object",
                 [&] { parse_profile(std::string_view(text).substr(0, length), "p"); });
  }
  EXPECT_NO_THROW(parse_profile(text, "p"));
  expect_error(ErrorCode::kCorruptFile, "not a whole JSON object", [&] { parse_profile("[]", "p"); });
}

TEST(Profile, IsRefusedWithoutAField) {
  const json::object whole = file_of(example());
  for (const auto& [name, value] : whole) {
    if (name == "early") continue;
    json::object lacking = whole;
    lacking.erase(name);
    expect_error(ErrorCode::kCorruptFile, "the field '" + std::string(name) + "' is missing",
                 [&] { parse_profile(json::serialize(lacking), "p"); });
  }
}

struct Lie {
  const char *field, *value, *complaint;
};

class ProfileLies : public testing::TestWithParam<Lie> {};

TEST_P(ProfileLies, AreRefused) {
  json::object object = file_of(example());
  object[GetParam().field] = json::parse(GetParam().value);
  expect_error(ErrorCode::kCorruptFile, GetParam().complaint,
               [&] { parse_profile(json::serialize(object), "p"); });
}

INSTANTIATE_TEST_SUITE_P(
    All, ProfileLies,
    testing::Values(
        Lie{"claa_profile", "3", "its version is 3, this program reads 1 and 2"},
        Lie{"claa_profile", "\"1\"", "its version is \"1\""},
        Lie{"window", "0", "'window' must be an integer from 1"},
        Lie{"window", "1.5", "'window' must be an integer"},
        Lie{"kernel", "-1", "'kernel' must be an integer"},
        Lie{"pooling", "\"sum\"", "'pooling' must be avg, max or none"},
        Lie{"pooling", "1", "'pooling' must be a string"},
        Lie{"selection_layer", "29", "'selection_layer' must be an integer from 0 to 28"},
        Lie{"first_layer", "-1", "'first_layer' must be an integer"},
        Lie{"model", "1", "'model' must hold objects"},
        Lie{"model", R"({"name":"m","fingerprint":"12","layers":30,"heads":9})", "16 hexadecimal digits"},
        Lie{"model", R"({"name":"m","fingerprint":"000000000000000g","layers":30,"heads":9})",
            "16 hexadecimal"},
        Lie{"model", R"({"name":"m","fingerprint":"0000000000000000","layers":1,"heads":9})",
            "'layers' must be"},
        Lie{"calibration", "[]", "'calibration' must be an object"},
        Lie{"heads", "[]", "'heads' must be a list that is not empty"},
        Lie{"heads", "{}", "'heads' must be a list"}, Lie{"heads", "[1]", "'heads' must hold objects"},
        Lie{"heads", R"([{"layer":19,"head":0,"weight":1}])",
            "'layer' must be an integer from 0 to 18, not 19"},
        Lie{"heads", R"([{"layer":0,"head":9,"weight":1}])", "'head' must be an integer from 0 to 8, not 9"},
        Lie{"heads", R"([{"layer":0,"head":-1,"weight":1}])", "'head' must be an integer"},
        Lie{"heads", R"([{"layer":0,"head":1}])", "the field 'weight' is missing"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":0}])", "weight must be a positive number"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":-2}])", "weight must be a positive number"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":null}])", "weight must be a positive number, not null"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":"NaN"}])", "weight must be a positive number"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":1e300}])", "weight must be a positive number"},
        Lie{"heads", R"([{"layer":0,"head":1,"weight":1},{"layer":0,"head":1,"weight":1}])",
            "0.1 is listed twice"},
        Lie{"early", "[]", "'early' must hold objects"},
        Lie{"early", R"({"layer":18,"rate":0.5,"heads":[{"layer":0,"head":1,"weight":1}]})",
            "'layer' must be an integer from 0 to 17, not 18"},
        Lie{"early", R"({"layer":3,"rate":1,"heads":[{"layer":0,"head":1,"weight":1}]})",
            "'rate' must lie between 0 and 1"},
        Lie{"early", R"({"layer":3,"rate":"NaN","heads":[{"layer":0,"head":1,"weight":1}]})",
            "'rate' must lie between 0 and 1"},
        Lie{"early", R"({"layer":3,"rate":0.5,"heads":[]})", "'heads' must be a list that is not empty"},
        Lie{"early", R"({"layer":3,"rate":0.5,"heads":[{"layer":4,"head":1,"weight":1}]})",
            "'layer' must be an integer from 0 to 3, not 4"}));

TEST(Profile, NaNIsNoJson) {
  std::string text = json::serialize(file_of(example()));
  const size_t at = text.find("\"weight\":");
  text.replace(at, text.find('}', at) - at, "\"weight\":NaN");
  expect_error(ErrorCode::kCorruptFile, "not a whole JSON object", [&] { parse_profile(text, "p"); });
}

TEST(Profile, LiesNextToTheModel) {
  EXPECT_EQ(profile_path("models/a.Q4_1.gguf"), "models/a.Q4_1.profile.json");
  EXPECT_EQ(profile_path("a"), "a.profile.json");
}

// Every file in profiles/ can be used, and is found by its model alone.
TEST(Profile, BundledOnesAreWhole) {
  EXPECT_FALSE(bundled_profiles().empty());
  for (const BundledProfile& bundled : bundled_profiles()) {
    const Profile profile = parse_profile(bundled.text, std::string(bundled.name));
    const std::optional<Profile> found = find_bundled_profile(profile.model_fingerprint);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->chosen, profile.chosen) << bundled.name;
  }
  EXPECT_FALSE(find_bundled_profile(0x0123456789abcdef));
}

}  // namespace
}  // namespace claa::eval

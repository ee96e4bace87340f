#include "decode/stop.h"

#include <gtest/gtest.h>

#include <random>

#include "core/check.h"

namespace claa {
namespace {

// Pushes `text` in pieces. After each push, the text held back must be a prefix of a stop string.
std::string shown(StopMatcher& matcher, const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) out += matcher.push(piece);
  return out;
}

TEST(StopMatcherTest, WithoutStopsEverythingPasses) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_EQ(matcher.push(""), "");
  EXPECT_EQ(matcher.flush(), "");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcherTest, InOnePiece) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.push("abcENDdef"), "abc");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcherTest, SplitOverPushes) {
  StopMatcher matcher({"</answer>"});
  EXPECT_EQ(matcher.push("42<"), "42");
  EXPECT_EQ(matcher.push("/ans"), "");
  EXPECT_EQ(matcher.push("wer"), "");
  EXPECT_EQ(matcher.push(">!"), "");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcherTest, ReleasesWhatWasNoStop) {
  StopMatcher matcher({"</answer>"});
  EXPECT_EQ(matcher.push("a</ans"), "a");
  EXPECT_EQ(matcher.push("</answ"), "</ans");
  EXPECT_EQ(matcher.flush(), "</answ");
  EXPECT_EQ(matcher.flush(), "");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcherTest, OverlappingPrefixes) {
  StopMatcher repeats({"aab"});
  EXPECT_EQ(shown(repeats, {"a", "a", "a", "b"}), "a");
  EXPECT_TRUE(repeats.stopped());

  StopMatcher several({"abcd", "bce"});
  EXPECT_EQ(shown(several, {"xa", "b", "c"}), "x");
  EXPECT_EQ(several.push("e"), "a") << "the shorter one matched inside the longer one's beginning";
  EXPECT_TRUE(several.stopped());
}

TEST(StopMatcherTest, TheEarliestMatchEndsTheText) {
  StopMatcher matcher({"two", "one"});
  EXPECT_EQ(matcher.push("0 one two"), "0 ");
  StopMatcher nested({"bc", "abcd"});
  EXPECT_EQ(shown(nested, {"xabcd"}), "x");
}

// Compared with a search of the whole text, for every way to cut random texts of two letters.
TEST(StopMatcherTest, AnyCutEqualsTheWholeText) {
  std::mt19937_64 random(1);
  const std::vector<std::string> stops = {"aaba", "bb", "abab"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += random() % 3 == 0 ? 'b' : 'a';
    size_t first = std::string::npos;
    // A streaming matcher stops at the first stop that completes.
    for (size_t end = 1; end <= text.size() && first == std::string::npos; ++end) {
      for (const std::string& stop : stops) {
        if (end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0) {
          first = std::min(first, end - stop.size());
        }
      }
    }
    StopMatcher matcher(stops);
    std::string out;
    for (const char c : text) out += matcher.push(std::string(1, c));
    EXPECT_EQ(matcher.stopped(), first != std::string::npos) << text;
    out += matcher.flush();
    EXPECT_EQ(out, text.substr(0, first)) << text;
  }
}

bool names_end(std::string_view stop) {
  return stop.find("<end>") != std::string_view::npos;
}

TEST(StopMatcherTest, ANameOfATokenMatchesTheTokenThatIsNotShown) {
  StopMatcher matcher({"<end>"}, names_end);
  EXPECT_EQ(matcher.push("ab"), "ab");
  EXPECT_EQ(matcher.push_hidden("<other>"), "");
  EXPECT_EQ(matcher.push("c"), "c");
  EXPECT_EQ(matcher.push_hidden("<end>"), "");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcherTest, ANameOfATokenMayStandBesideText) {
  StopMatcher matcher({"b<end>\n"}, names_end);
  EXPECT_EQ(matcher.push("ab"), "a");
  EXPECT_EQ(matcher.push_hidden("<end>"), "");
  EXPECT_EQ(matcher.push("x"), "bx") << "the token itself is never shown";
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_EQ(matcher.push_hidden("<end>"), "");
  EXPECT_EQ(matcher.push("\nz"), "");
  EXPECT_TRUE(matcher.stopped());
  StopMatcher flushed({"b<end>\n"}, names_end);
  EXPECT_EQ(flushed.push("b"), "");
  EXPECT_EQ(flushed.push_hidden("<end>"), "");
  EXPECT_EQ(flushed.flush(), "b");
}

// What is not shown does not keep a stop string apart that names no token.
TEST(StopMatcherTest, OtherStopsSeeTheShownTextAlone) {
  StopMatcher matcher({"ab", "<end>x"}, names_end);
  EXPECT_EQ(matcher.push("za"), "z");
  EXPECT_EQ(matcher.push_hidden("<other>"), "");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_TRUE(matcher.stopped());
  StopMatcher name({"other"});
  EXPECT_EQ(name.push_hidden("<other>"), "");
  EXPECT_EQ(name.push("other!"), "");
  EXPECT_TRUE(name.stopped()) << "written as text";
}

TEST(StopMatcherTest, RefusesSenselessStops) {
  EXPECT_THROW(StopMatcher({""}), Error);
  EXPECT_THROW(StopMatcher({std::string(257, 'x')}), Error);
  EXPECT_THROW(StopMatcher(std::vector<std::string>(17, "x")), Error);
  EXPECT_NO_THROW(StopMatcher(std::vector<std::string>(16, std::string(256, 'x'))));
}

}  // namespace
}  // namespace claa

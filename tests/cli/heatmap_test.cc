// Heat maps of invented traces: what is kept, coloured, counted and escaped, and the file they are written
// to.
#include "cli/heatmap.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>

#include "claa/error.h"
#include "core/output_file.h"
#include "text/utf8.h"

namespace claa::cli {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ModelSummary model() {
  ModelSummary summary;
  summary.name = "tiny";
  summary.kv_heads = 2;
  return summary;
}

LayerTrace whole(int64_t live) {
  return {live, true, {}, live};
}

LayerTrace kept(int64_t live, std::vector<std::vector<int32_t>> positions) {
  const auto cache = static_cast<int64_t>(positions.front().size());
  return {live, false, std::move(positions), cache};
}

Trace base(size_t tokens) {
  Trace trace;
  trace.prompt_tokens.resize(tokens);
  std::iota(trace.prompt_tokens.begin(), trace.prompt_tokens.end(), 100);
  trace.answer.text = "Yes.";
  trace.answer.finish = FinishReason::kEnd;
  trace.answer.prefill.method = "made-up";
  return trace;
}

// Six tokens, a window of one; layer 0 keeps all, layer 1 keeps by head and drops all but 1, 2 and 5.
Trace selective() {
  Trace trace = base(6);
  trace.answer.prefill.active = true;
  trace.answer.prefill.selection_layer = 1;
  trace.answer.prefill.params = {{"keep", "0.5"}, {"window", "1"}};
  trace.selected = {{1, 2, 5}};
  trace.scores = {0.1f, 5, 100, 0.1f, 0.2f};
  trace.layers = {whole(6), kept(6, {{0, 2, 5}, {1, 2, 5}}), whole(3)};
  return trace;
}

// Four tokens, no selection; two layers of two heads.
Trace cache_only() {
  Trace trace = base(4);
  trace.answer.prefill.active = true;
  trace.answer.prefill.params = {{"window", "1"}};
  trace.layers = {kept(4, {{0, 3}, {0, 3}}), kept(4, {{0, 3}, {1, 3}})};
  return trace;
}

Trace inactive() {
  Trace trace = base(2);
  trace.answer.prefill.reason = "full prefill was asked for";
  trace.layers = {whole(2), whole(2)};
  return trace;
}

const std::vector<std::string> kSix = {"One", " two", " three", " four", " five", " six"};

template <class Get>
auto each(const Heatmap& map, Get get) {
  std::vector<decltype(get(map.tokens[0]))> values;
  for (const HeatToken& token : map.tokens) values.push_back(get(token));
  return values;
}

std::vector<std::string> texts(const std::vector<std::string>& bytes) {
  return each(make_heatmap(base(bytes.size()), model(), bytes), [](const HeatToken& t) { return t.text; });
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

TEST(Heatmap, MarksWhatTheSelectionKept) {
  const Heatmap map = make_heatmap(selective(), model(), kSix);
  EXPECT_TRUE(map.selected);
  EXPECT_EQ(map.kept, 3);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.kept; }),
            (std::vector<bool>{false, true, true, false, false, true}));
}

TEST(Heatmap, ColoursByRankAndTiesAlike) {
  const Heatmap map = make_heatmap(selective(), model(), kSix);
  EXPECT_EQ(map.scored, 5);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.rank; }), (std::vector<int64_t>{4, 2, 1, 5, 3, 0}));
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.level; }), (std::vector<int>{0, 6, 8, 0, 4, -1}));
}

TEST(Heatmap, RanksScoresThatAreNoNumbersLast) {
  Trace trace = selective();
  trace.scores = {std::nanf(""), 1, std::numeric_limits<float>::infinity(), std::nanf(""), -3};
  const Heatmap map = make_heatmap(trace, model(), kSix);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.rank; }), (std::vector<int64_t>{4, 2, 1, 5, 3, 0}));
}

TEST(Heatmap, CountsTheCachesThatLackTokens) {
  const Heatmap map = make_heatmap(selective(), model(), kSix);
  EXPECT_EQ(map.all_caches, 6);
  EXPECT_EQ(map.caches, 4) << "layer 0 holds everything";
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.caches; }), (std::vector<int64_t>{1, 3, 4, 0, 0, 4}));
}

TEST(Heatmap, OneListOfPositionsIsSharedByTheHeads) {
  Trace trace = selective();
  trace.layers[1] = kept(6, {{2, 4, 5}});
  const Heatmap map = make_heatmap(trace, model(), kSix);
  EXPECT_EQ(map.caches, 4);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.caches; }), (std::vector<int64_t>{0, 2, 4, 0, 2, 4}));
}

TEST(Heatmap, OutlinesTheWindowOnly) {
  Heatmap map = make_heatmap(selective(), model(), kSix);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.window; }),
            (std::vector<bool>{false, false, false, false, false, true}));
  map = make_heatmap(cache_only(), model(), kSix);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.window; }),
            (std::vector<bool>{false, false, false, true}));
  Trace trace = cache_only();
  trace.layers[1].kept[1] = {0, 1};  // a method whose window means something else
  map = make_heatmap(trace, model(), kSix);
  EXPECT_FALSE(map.tokens[3].window);
}

TEST(Heatmap, WithoutScoresColoursByTheShareOfCaches) {
  const Heatmap map = make_heatmap(cache_only(), model(), kSix);
  EXPECT_FALSE(map.selected);
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.level; }), (std::vector<int>{7, 2, 0, -1}));
  EXPECT_EQ(each(map, [](const HeatToken& t) { return t.kept; }),
            (std::vector<bool>{true, false, false, true}));
  EXPECT_THAT(heatmap_html(map), HasSubstr("share of the caches"));
}

TEST(Heatmap, SaysWhyNothingWasDropped) {
  const Heatmap map = make_heatmap(inactive(), model(), {"a", "b"});
  EXPECT_EQ(map.kept, 2);
  const std::string sentence = "all 2 tokens; nothing dropped: full prefill was asked for";
  EXPECT_THAT(heatmap_html(map), HasSubstr(sentence));
  const std::string text = heatmap_text(map, true);
  EXPECT_THAT(text, HasSubstr(sentence));
  EXPECT_THAT(text, HasSubstr("\nab\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Heatmap, SumsUp) {
  const std::string page = heatmap_html(make_heatmap(selective(), model(), kSix));
  EXPECT_THAT(page, HasSubstr("made-up: keep 0.5, window 1"));
  EXPECT_THAT(page, HasSubstr("3 of 6 tokens (50.0%); selection layer 1"));
  EXPECT_THAT(page, HasSubstr("4 of 6, one for each layer and KV head"));
  EXPECT_THAT(page, HasSubstr("hold 50.0% of it on average"));
  EXPECT_THAT(page, HasSubstr("<dd>Yes.</dd>"));
}

TEST(Heatmap, BinsCoverThePromptOnce) {
  Trace trace = base(1003);
  trace.selected = {{1002}};
  trace.answer.prefill.active = true;
  const Heatmap map = make_heatmap(trace, model(), {});
  const std::vector<HeatBin> bins = heatmap_bins(map, 100);
  ASSERT_EQ(bins.size(), 100u);
  int64_t next = 0;
  for (const HeatBin& bin : bins) {
    EXPECT_EQ(bin.begin, next);
    EXPECT_GT(bin.end, bin.begin);
    next = bin.end;
  }
  EXPECT_EQ(next, 1003);
  EXPECT_EQ(bins[0].share, 0);
  EXPECT_DOUBLE_EQ(bins[99].share, 1.0 / static_cast<double>(bins[99].end - bins[99].begin));
  EXPECT_EQ(heatmap_bins(make_heatmap(base(3), model(), {}), 100).size(), 3u);
}

TEST(HeatmapText, SplitCharactersStandOnTheirLastToken) {
  EXPECT_EQ(texts({"a\xE6", "\x97", "\xA5z"}), (std::vector<std::string>{"a", "", "日z"}));
  EXPECT_EQ(texts({"\xFF", "caf\xE9", " b"}), (std::vector<std::string>{"�", "caf", "� b"}));
  EXPECT_EQ(texts({"x", "\xF0\x9F"}), (std::vector<std::string>{"x", "�"})) << "cut off at the end";
}

TEST(HeatmapText, TokensAndNamesAreVisible) {
  EXPECT_EQ(texts({"a\x1b[31m", "\r\n\t", "b\x7f"}), (std::vector<std::string>{"a␛[31m", "␍\n\t", "b␡"}));
}

TEST(HeatmapHtml, EscapesWhatThePromptAndTheAnswerHold) {
  Trace trace = selective();
  trace.answer.text = "<img src=x onerror=alert(1)>";
  const std::string page =
      heatmap_html(make_heatmap(trace, model(), {"<script>", "\"'", "&amp;", "\x1b", "\n", "</main>"}));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  EXPECT_EQ(count(page, "</main>"), 1u);
  EXPECT_THAT(page, HasSubstr(">&lt;script&gt;</span>"));
  EXPECT_THAT(page, HasSubstr("id 101 &quot;&quot;&#39;&quot;\n"));
  EXPECT_THAT(page, HasSubstr(">&amp;amp;</span>"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_EQ(valid_utf8_prefix(page), page.size());
}

TEST(HeatmapHtml, EveryTokenHasItsTooltip) {
  const std::string page = heatmap_html(make_heatmap(selective(), model(), kSix));
  EXPECT_EQ(count(page, " title=\"#"), 6u);
  EXPECT_THAT(page,
              HasSubstr("<span id=\"p2\" class=\"k c8\" title=\"#2 id 102 &quot; three&quot;\nscore 100, "
                        "rank 1/5\ncaches 4/4\"> three</span>"));
  EXPECT_THAT(page, HasSubstr("class=\"d c0\" title=\"#0 id 100 "));
  EXPECT_THAT(page, HasSubstr("class=\"k w\" title=\"#5 id 105 &quot; six&quot;\ncaches 4/4\nwindow\""));
}

TEST(HeatmapHtml, LoadsNothingAndLeadsToEveryBar) {
  const std::string page = heatmap_html(make_heatmap(selective(), model(), kSix));
  EXPECT_THAT(page, StartsWith("<!doctype html>"));
  EXPECT_THAT(page, EndsWith("</html>\n"));
  for (const char* outside : {"http://", "https://", "src=", "url(", "@import", "<link", "<script"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
  for (int bin = 0; bin < 6; ++bin) {
    EXPECT_EQ(count(page, "href=\"#p" + std::to_string(bin) + "\""), 1u);
    EXPECT_EQ(count(page, " id=\"p" + std::to_string(bin) + "\""), 1u);
  }
}

TEST(HeatmapHtml, LongPromptsStaySmall) {
  Trace trace = base(8000);
  trace.answer.prefill.active = true;
  trace.selected.emplace(1600);
  std::iota(trace.selected->begin(), trace.selected->end(), 6400);
  for (int i = 0; i < 7968; ++i) trace.scores.push_back(1.0f / static_cast<float>(i + 3));
  const std::string page =
      heatmap_html(make_heatmap(trace, model(), std::vector<std::string>(8000, " token")));
  EXPECT_LT(page.size(), 2'000'000u);
  EXPECT_EQ(count(page, " title=\"#"), 8000u);
}

TEST(HeatmapPlain, ShortensRunsOfDroppedTokens) {
  const std::string text = heatmap_text(make_heatmap(selective(), model(), kSix), false);
  EXPECT_THAT(text, HasSubstr("\n\n […1 token…]  two three […2 tokens…]  six\n\nAnswer  Yes.\n"));
  EXPECT_THAT(text, HasSubstr("Kept    3 of 6 tokens"));
  EXPECT_THAT(text, HasSubstr("Where   ·██··█\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(HeatmapColor, LeavesThePromptAndItsLinesUnharmed) {
  const Heatmap map =
      make_heatmap(selective(), model(), {"One", " \x1b[2J", " th\nree", " four", " five", " six"});
  const std::string text = heatmap_text(map, true);
  std::string bare;  // without the codes that the map itself writes
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') {
      bare += text[i];
      continue;
    }
    const size_t end = text.find_first_not_of("[0123456789;", i + 1);
    ASSERT_EQ(text[end], 'm') << "only colours: no other escape sequence";
    i = end;
  }
  EXPECT_THAT(bare, HasSubstr("\nOne ␛[2J th\nree four five six\n"));
  EXPECT_THAT(text, HasSubstr("th\x1b[0m\n\x1b[1;4;38;5;16;48;5;214mree\x1b[0m"));
  EXPECT_THAT(text, HasSubstr("\x1b[38;5;245mOne\x1b[0m"));
}

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "claa-output-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string content(const std::string& name) const {
    std::ifstream file(path(name));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  int64_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }
  std::filesystem::path folder_;
};

TEST_F(OutputFileTest, AppearsOnlyWhole) {
  std::ofstream(path("page")) << "old";
  {
    OutputFile file(path("page"));
    EXPECT_EQ(content("page"), "old");
    file.commit("new");
    EXPECT_EQ(content("page"), "new");
  }
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, LeavesNothingWithoutCommit) {
  { const OutputFile file(path("page")); }
  EXPECT_EQ(files(), 0);
}

TEST_F(OutputFileTest, FollowsLinksAndKeepsPermissions) {
  std::ofstream(path("page")) << "old";
  ASSERT_EQ(chmod(path("page").c_str(), 0640), 0);
  std::filesystem::create_symlink("page", path("link"));
  OutputFile(path("link")).commit("new");
  EXPECT_EQ(content("page"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  struct stat info {};
  ASSERT_EQ(stat(path("page").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

// A pipe stands for everything that is no regular file: a mistake here must not cost the machine a device.
TEST_F(OutputFileTest, WritesToAPipeWithoutReplacingIt) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  OutputFile(path("pipe")).commit("new");
  std::string text(16, ' ');
  const ssize_t size = read(reader, text.data(), text.size());
  close(reader);
  ASSERT_EQ(size, 3);
  EXPECT_EQ(text.substr(0, 3), "new");
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
}

TEST_F(OutputFileTest, RefusesInOneSentence) {
  for (const std::string& bad : {path("missing/page"), folder_.string(), std::string()}) {
    try {
      const OutputFile file(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_THAT(error.what(), StartsWith("cannot write '" + bad + "': "));
    }
  }
}

}  // namespace
}  // namespace claa::cli

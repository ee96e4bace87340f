// The report: its numbers, its files, its escaping, and what it refuses.
#include "eval/diagnosis/report.h"

#include <algorithm>

#include "eval/diagnosis/report_parts.h"
#include "eval/diagnosis/summary.h"
#include "eval_support.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

ReportInfo info(bool pictures) {
  return {"A title", {{"model", "m.gguf"}, {"window", "8"}}, pictures};
}

TEST(Report, SummarizesOverPrompts) {
  const std::vector<PromptDiagnosis> prompts = example_prompts(6);
  const Summary summary = summarize(prompts);
  EXPECT_EQ(summary.layers, 6u);
  EXPECT_EQ(summary.heuristics, (std::vector<std::string>{"fastkv", "sum", "specprefill"}));
  ASSERT_EQ(summary.groups.size(), 2u);
  EXPECT_EQ(summary.groups[1].name, "odd");
  EXPECT_EQ(summary.groups[1].prompts, 3);
  EXPECT_EQ(summary.tasks.size(), 3u);
  const HeuristicSummary& fastkv = summary.overall.heuristics[0];
  EXPECT_NEAR(fastkv.spearman[2].mean, .225, 1e-12);
  EXPECT_EQ(fastkv.spearman[2].n, 6);
  // For 0 ... 5 hundredths: sd sqrt(3.5), over sqrt(6).
  EXPECT_NEAR(fastkv.spearman[2].standard_error, .01 * std::sqrt(3.5 / 6), 1e-12);
  EXPECT_EQ(fastkv.stability[0].n, 0);
  EXPECT_NEAR(fastkv.exit_layer.mean, 5, 1e-12);
  EXPECT_NEAR(fastkv.spearman_at_exit.mean - fastkv.spearman_at_fixed.mean, .2, 1e-12);
  EXPECT_NEAR(fastkv.exit_gain.mean, .2, 1e-12);
  EXPECT_NEAR(fastkv.exit_gain.standard_error, 0, 1e-12);
  EXPECT_NEAR(fastkv.made.mean, 0, 1e-12);
  const HeuristicSummary& sum = summary.overall.heuristics[1];
  EXPECT_EQ(sum.spearman[0].n, 0);
  EXPECT_GT(sum.made.mean, .5);
  EXPECT_NEAR(sum.made_of_mean, sum.made.mean, 1e-9);  // the prompts' positions are equal
  EXPECT_EQ(summary.overall.heuristics[2].exit_layer.n, 0);
  EXPECT_TRUE(summary.overall.heuristics[2].density.empty());
  ASSERT_EQ(summary.head_recall.size(), 6u);
  EXPECT_NEAR(summary.head_recall[3][0], .3, 1e-12);
  EXPECT_NEAR(summary.head_recall[3][2], .3, 1e-12);  // the prompt without a value does not count
}

TEST(Report, WritesJson) {
  const ScratchFolder folder;
  write_report(example_prompts(4), info(false), folder.path() / "new" / "folder");
  const json::value whole = json::parse(content_of(folder.path() / "new" / "folder" / "summary.json"));
  EXPECT_EQ(whole.at("title").as_string(), "A title");
  EXPECT_EQ(whole.at("configuration").at(1).at("value").as_string(), "8");
  EXPECT_EQ(whole.at("prompts").to_number<int>(), 4);
  EXPECT_EQ(whole.at("groups").as_array().size(), 2u);
  EXPECT_EQ(whole.at("heuristics").at(0).at("label").as_string(), "FastKV (one layer)");
  const json::value& sum = whole.at("overall").at("heuristics").at("sum");
  EXPECT_TRUE(sum.at("spearman").at("mean").at(0).is_null());
  EXPECT_DOUBLE_EQ(sum.at("spearman").at("mean").at(1).to_number<double>(), .5);
  EXPECT_EQ(sum.at("spearman").at("n").at(1).to_number<int>(), 4);
  EXPECT_DOUBLE_EQ(sum.at("adaptive_exit").at("layer").at("mean").to_number<double>(), 4);
  EXPECT_TRUE(whole.at("overall").at("heuristics").at("specprefill").at("adaptive_exit").is_null());
  EXPECT_TRUE(whole.at("overall").at("heuristics").at("specprefill").at("made").at("mean").is_null());
}

TEST(Report, WritesCsv) {
  std::vector<PromptDiagnosis> prompts = example_prompts(2);
  prompts[0].id = "a \"b\", c\nd";
  const Summary summary = summarize(prompts);
  const std::string curves = curves_csv(summary);
  EXPECT_EQ(curves.substr(0, curves.find('\n')), "group,heuristic,layer,metric,mean,standard_error,n");
  EXPECT_NE(curves.find("\n(all),fastkv,1,spearman,0.105,0.005,2\n"), std::string::npos) << curves;
  EXPECT_NE(curves.find("\n(all),sum,0,spearman,,,0\n"), std::string::npos);
  EXPECT_NE(curves.find("\nodd,fastkv,1,spearman,0.11,0,1\n"), std::string::npos);
  // A header; three groups of three heuristics, six layers and three metrics.
  EXPECT_EQ(std::count(curves.begin(), curves.end(), '\n'), 1 + 3 * 3 * 6 * 3);
  const std::string table = prompts_csv(prompts, summary);
  EXPECT_EQ(table.substr(0, table.find('\n')),
            "id,group,task,tokens,answer_tokens,spearman_fastkv,spearman_sum,spearman_specprefill");
  EXPECT_NE(table.find("\n\"a \"\"b\"\", c␊d\",even,task0,100,5,0.25,0.5,0.4\n"), std::string::npos) << table;
}

TEST(Report, DrawsAllPictures) {
  const ScratchFolder folder;
  write_report(example_prompts(4), info(true), folder.path());
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) files += entry.is_regular_file();
  EXPECT_EQ(files, 4 + 3 * std::size(kPictureNames));
  const std::string html = content_of(folder.path() / "report.html");
  size_t svgs = 0;
  for (size_t at = 0; (at = html.find("<svg ", at)) != std::string::npos; ++at) ++svgs;
  EXPECT_EQ(svgs, std::size(kPictureNames));
  // Nothing is fetched: the only addresses are names of namespaces.
  for (size_t at = 0; (at = html.find("http", at)) != std::string::npos; ++at) {
    EXPECT_EQ(html.compare(at - 1, 19, "\"http://www.w3.org/"), 0) << html.substr(at, 60);
  }
  for (const char* outside : {"<script", "<link", "<img", "@import", "src=", "<iframe", "<?xml"}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
}

// A later report in the same folder must not stand beside the pictures of an earlier one.
TEST(Report, WithoutPicturesNeedsNoGnuplotAndLeavesNone) {
  const ScratchFolder folder;
  write_report(example_prompts(4), info(true), folder.path());
  const PathVariable path("/nonexistent");
  write_report(example_prompts(4), info(false), folder.path());
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"curves.csv", "prompts.csv", "report.html", "summary.json"}));
  EXPECT_EQ(content_of(folder.path() / "report.html").find("<figure>"), std::string::npos);
  expect_error(ErrorCode::kNotFound, "gnuplot-nox",
               [&] { write_report(example_prompts(4), info(true), folder.path()); });
}

TEST(Report, EscapesEverything) {
  std::vector<PromptDiagnosis> prompts = example_prompts(3);
  const std::string evil = "</td></svg><script>alert('\"&')</script>\xFF";
  for (PromptDiagnosis& prompt : prompts) {
    prompt.id += evil;
    prompt.group = prompt.task = prompt.answer = evil;
    prompt.heuristics[1].name = evil;
  }
  const ScratchFolder folder;
  write_report(prompts, {evil, {{evil, evil}}, true}, folder.path());
  const std::string html = content_of(folder.path() / "report.html");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find('\xFF'), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)"), std::string::npos);
  json::parse(content_of(folder.path() / "summary.json"));  // refuses what is not UTF-8
}

TEST(Report, InlineSvgsKeepTheirIdsApart) {
  const std::string svg =
      "<?xml version=\"1.0\"?>\n<svg viewBox=\"0 0 640 480\" id=\"a\"><g id='b'><use xlink:href='#b' "
      "fill='url(#c)'/>"
      "<text> id='b' url(#c)</text></g></svg>\n";
  EXPECT_EQ(
      inline_svg(svg, "p-", "a \"b\""),
      "<svg role=\"img\" aria-label=\"a &quot;b&quot;\" style=\"max-width:640px\" viewBox=\"0 0 640 480\" "
      "id=\"p-a\"><g id='p-b'><use xlink:href='#p-b' fill='url(#p-c)'/><text> id='b' "
      "url(#c)</text></g></svg>\n");
  EXPECT_EQ(inline_svg("no picture", "p-", ""), "");
}

TEST(Report, OneBarePromptIsEnough) {
  PromptDiagnosis prompt;
  prompt.id = "only";
  prompt.heuristics = {{"new_one", false, {.5, .6}, {}, {}, -1, {}}};
  const ScratchFolder folder;
  write_report({prompt}, {"", {}, true}, folder.path());
  EXPECT_TRUE(fs::exists(folder.path() / "spearman_all.png"));
  EXPECT_FALSE(fs::exists(folder.path() / "density.png"));
  const std::string html = content_of(folder.path() / "report.html");
  EXPECT_NE(html.find("new_one"), std::string::npos);
  EXPECT_EQ(html.find("Adaptive exit"), std::string::npos);
}

TEST(Report, LabelsHeuristics) {
  EXPECT_EQ(heuristic_label("claa_deployed"), "CLAA (deployed: max over KV heads, n layers)");
  EXPECT_EQ(heuristic_label("something else"), "something else");
}

TEST(Report, RefusesPromptsThatMakeNone) {
  const ScratchFolder folder;
  const auto refused = [&](const std::vector<PromptDiagnosis>& prompts, const std::string& part) {
    expect_error(ErrorCode::kInvalidArgument, part,
                 [&] { write_report(prompts, info(false), folder.path() / "r"); });
  };
  refused({}, "no prompt was diagnosed");
  refused(std::vector<PromptDiagnosis>(1), "no prompt has a heuristic with layers");
  std::vector<PromptDiagnosis> prompts = example_prompts(3);
  prompts[2].id = "p0";
  refused(prompts, "two prompts have the id 'p0'");
  prompts = example_prompts(3);
  prompts[1].heuristics[1].name = "fastkv";
  refused(prompts, "'p1' has the heuristic 'fastkv' twice");
  prompts = example_prompts(3);
  prompts[1].heuristics[0].jaccard.pop_back();
  refused(prompts, "'p1' has 5 layers for 'fastkv' where others have 6");
  prompts = example_prompts(3);
  prompts[2].head_recall.pop_back();
  refused(prompts, "head recalls of 5 layers");
  prompts = example_prompts(3);
  prompts[2].head_recall[4].pop_back();
  refused(prompts, "recalls of 2 heads where others have 3");
  EXPECT_FALSE(fs::exists(folder.path() / "r"));
}

TEST(Report, SaysWhereItCannotWrite) {
  const ScratchFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  expect_error(ErrorCode::kIo, "file",
               [&] { write_report(example_prompts(2), info(false), folder.path() / "file"); });
  fs::create_directories(folder.path() / "taken" / "summary.json" / "x");
  expect_error(ErrorCode::kIo, "summary.json",
               [&] { write_report(example_prompts(2), info(false), folder.path() / "taken"); });
  // No half-written file stays.
  for (const auto& entry : fs::directory_iterator(folder.path() / "taken")) {
    EXPECT_EQ(entry.path().filename(), "summary.json");
  }
}

}  // namespace
}  // namespace claa::eval

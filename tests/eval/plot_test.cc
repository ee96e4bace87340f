// Pictures: they are drawn, no text is a command to gnuplot, and what happens without gnuplot.
#include "eval/draw/plot.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "eval/draw/gnuplot.h"
#include "eval/draw/plot_script.h"
#include "eval_support.h"
#include "text/visible.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

Figure small_figure(const std::string& text = "curve") {
  Figure figure;
  figure.columns = 2;
  for (int i = 0; i < 3; ++i) {
    Series series;
    series.label = text;
    series.x = {0, 1, 2, 3};
    series.y = {.1, NAN, .3, .2};
    series.error = {.01, .02, NAN, .01};
    Series area{"area", {0, 1, 2}, {1, 2, 1}, {}, false, true, -1};
    figure.panels.push_back({text, text, text, {}, {series, area}});
  }
  return figure;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Plot, DrawsAFigureTwice) {
  const ScratchFolder folder;
  draw(small_figure(), folder.path(), "figure");
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"figure.gp", "figure.png", "figure.svg"}));
  const std::string svg = content_of(folder.path() / "figure.svg");
  const size_t box = svg.find("viewBox=\"0 0 ");
  ASSERT_NE(box, std::string::npos);
  unsigned width = 0, height = 0;
  ASSERT_EQ(std::sscanf(svg.c_str() + box, "viewBox=\"0 0 %u %u\"", &width, &height), 2);
  EXPECT_EQ(png_size(content_of(folder.path() / "figure.png")), (std::pair{2 * width, 2 * height}));
  EXPECT_EQ(svg.find("<title>"), std::string::npos);
  // Three panels, one legend.
  size_t legends = 0;
  for (size_t at = 0; (at = svg.find("<text>area</text>", at)) != std::string::npos; ++at) ++legends;
  EXPECT_EQ(legends, 1u);
}

TEST(Plot, ScriptDrawsThePictureAgain) {
  const ScratchFolder folder;
  draw(small_figure(), folder.path(), "figure");
  const std::string svg = content_of(folder.path() / "figure.svg");
  fs::remove(folder.path() / "figure.svg");
  run_gnuplot(folder.path(), "figure.gp");
  EXPECT_NEAR(static_cast<double>(content_of(folder.path() / "figure.svg").size()),
              static_cast<double>(svg.size()), .1 * static_cast<double>(svg.size()));
}

TEST(Plot, DrawsAHeatMapWithHoles) {
  const ScratchFolder folder;
  draw(HeatMap{"title", "head", "layer", {{.1, NAN, .3}, {.4, .5, .6}}, "share"}, folder.path(), "map");
  EXPECT_GT(png_size(content_of(folder.path() / "map.png")).first, 0u);
  draw(HeatMap{"nothing", "", "", {{NAN}}, ""}, folder.path(), "hole");
  draw(HeatMap{"constant", "", "", {{.5, .5}}, ""}, folder.path(), "flat");
  draw(HeatMap{"large", "", "", std::vector(80, std::vector<double>(64, .1)), ""}, folder.path(), "large");
  EXPECT_EQ(names_in(folder.path()).size(), 12u);
}

TEST(Plot, DrawsWhatHasNoValues) {
  const ScratchFolder folder;
  Figure figure;
  figure.panels.resize(2);
  figure.panels[0].series = {{"nothing", {0, 1}, {NAN, NAN}, {}, false, false, -1}};
  draw(figure, folder.path(), "empty");
  figure.panels[1].series = {{"point", {7}, {3}, {}, true, false, 25},
                             {"flat", {1, 2}, {3, 3}, {0, 0}, false, false, 3}};
  draw(figure, folder.path(), "point");
  EXPECT_EQ(names_in(folder.path()).size(), 6u);
}

// Every one of these would write a file, stop the script or vanish if it were read as a command or as markup.
const std::vector<std::string>& hostile_texts() {
  static const std::vector<std::string> texts = {
      "'",
      "''",
      "'''",
      "'a",
      "''a''",
      "\\042;!touch pwned",
      "it's 'quoted' \"twice\"",
      "';system('touch pwned');#",
      "'\nsystem('touch pwned')\nset title '",
      "'\r\n!touch pwned\r\n'",
      "`touch pwned`",
      "\"; !touch pwned; \"",
      "$(touch pwned) @macro @x ${x} $d0_0",
      "back\\slash \\n \\' \\",
      "ends in a backslash\\",
      "under_score^{up} {/Bold x} &{y} ~z",
      "}{}}{{",
      "# comment",
      "<script>alert(1)</script> & &amp; ]]>",
      "%s %n %h %",
      "EOD",
      "tab\tbell\a nul" + std::string(1, '\0') + "end",
      "bad utf8 \xC3\x28 \xFF \xEF\xBF\xBF",
      "Übergröße 東京 🙂",
      std::string(400, 'w'),
      "",
  };
  return texts;
}

// The way gnuplot writes text into an SVG file: a '>' needs no entity.
std::string as_in_svg(const std::string& text) {
  std::string shown;
  for (char c : visible_line(text)) shown += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
  return shown;
}

TEST(Plot, NoTextIsACommand) {
  for (const std::string& text : hostile_texts()) {
    const ScratchFolder folder;
    SCOPED_TRACE(text);
    ASSERT_NO_THROW(draw(HeatMap{text, text, text, {{1, 2}}, text}, folder.path(), "map"));
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"map.gp", "map.png", "map.svg"}));
    const std::string svg = content_of(folder.path() / "map.svg");
    EXPECT_EQ(svg.find("<script"), std::string::npos);
    // The text arrives whole.
    if (text.size() < 60) {
      EXPECT_NE(svg.find(as_in_svg(text)), std::string::npos) << as_in_svg(text);
    }
  }
}

TEST(Plot, NoTextOfAFigureIsACommand) {
  const ScratchFolder folder;
  Figure figure;
  figure.columns = 5;
  for (const std::string& text : hostile_texts()) figure.panels.push_back(small_figure(text).panels[0]);
  draw(figure, folder.path(), "figure");
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"figure.gp", "figure.png", "figure.svg"}));
  const std::string svg = content_of(folder.path() / "figure.svg");
  for (const std::string& text : hostile_texts()) {
    if (text.size() < 60) {
      EXPECT_NE(svg.find(as_in_svg(text)), std::string::npos) << text;
    }
  }
}

TEST(Plot, WorksInAFolderOfAnyName) {
  const ScratchFolder parent;
  for (const char* name : {"it's \"here\"", "a`touch pwned`b", "new\nline", "back\\slash", "-d", "Ü 🙂"}) {
    const fs::path folder = parent.path() / name;
    fs::create_directory(folder);
    draw(small_figure(), folder, "figure");
    EXPECT_EQ(names_in(folder).size(), 3u) << name;
  }
}

TEST(Plot, QuotesStrings) {
  EXPECT_EQ(gnuplot_string("plain (n = 5), a_b"), "\"plain (n = 5), a_b\"");
  EXPECT_EQ(gnuplot_string("it's\n"), "\"it\\047s␊\"");
  EXPECT_EQ(gnuplot_string("\"\\`$@#%{}&"), "\"\\042\\134\\140\\044\\100\\043\\045\\173\\175\\046\"");
  EXPECT_EQ(gnuplot_string("abcdef", 3), "\"abc\xE2\x80\xA6\"");
  EXPECT_EQ(gnuplot_string("ÄÖÜ", 3), "\"ÄÖÜ\"");
}

TEST(Plot, RefusesFiguresThatMakeNoSense) {
  const ScratchFolder folder;
  const auto refused = [&](const Figure& figure, const std::string& part,
                           const std::string& stem = "figure") {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { draw(figure, folder.path(), stem); });
  };
  refused({}, "1 to 100 panels, not 0");
  Figure figure = small_figure();
  for (const char* stem : {"", "a b", "../up", ".hidden", "-option", "quote'", "new\nline", "a/b"}) {
    refused(figure, "cannot be the name of a picture", stem);
  }
  figure.columns = 0;
  refused(figure, "at least one column");
  figure = small_figure();
  figure.panels[1].series[0].error.pop_back();
  refused(figure, "4 x, 4 y, 3 error values");
  figure.panels.resize(kMostPanels + 1);
  refused(figure, "not 101");
  for (const auto& values : {std::vector<std::vector<double>>{}, {{}}, {{1, 2}, {1}}}) {
    expect_error(ErrorCode::kInvalidArgument, "the heat map 'm'", [&] {
      draw(HeatMap{"m", "", "", values, ""}, folder.path(), "map");
    });
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Plot, SaysWhatToInstallWithoutGnuplot) {
  const ScratchFolder folder;
  const PathVariable path(folder.path().string());
  expect_error(ErrorCode::kNotFound, "gnuplot-nox", [&] { draw(small_figure(), folder.path(), "figure"); });
  EXPECT_TRUE(names_in(folder.path()).empty());
}

// A stand-in for gnuplot that runs `commands`.
void make_gnuplot(const fs::path& folder, const std::string& commands) {
  std::ofstream(folder / "gnuplot") << "#!/bin/sh\n" << commands << "\n";
  fs::permissions(folder / "gnuplot", fs::perms::owner_all);
}

TEST(Plot, PassesOnWhatGnuplotSays) {
  const ScratchFolder bin, folder;
  const PathVariable path(bin.path().string() + ":" + ::getenv("PATH"));
  const auto fails = [&](const std::string& commands, const std::string& part) {
    make_gnuplot(bin.path(), commands);
    expect_error(ErrorCode::kInternal, part, [&] { draw(small_figure(), folder.path(), "figure"); });
    EXPECT_TRUE(names_in(folder.path()).empty());
  };
  fails("echo; echo '   line 3: undefined' >&2; exit 4", "(exit status 4): line 3: undefined");
  fails("exit 1", "it printed no message");
  fails("kill -9 $$", "signal 9");
  fails("exit 0", "wrote no figure.svg");
  // More bytes than a pipe holds.
  fails("i=0; while [ $i -lt 20000 ]; do echo 'a long complaint' >&2; i=$((i+1)); done; exit 2",
        "exit status 2");
}

TEST(Plot, ReportsAScriptThatGnuplotRefuses) {
  const ScratchFolder folder;
  std::ofstream(folder.path() / "bad.gp") << "plot 'no such file'\n";
  expect_error(ErrorCode::kInternal, "no such file", [&] { run_gnuplot(folder.path(), "bad.gp"); });
}

TEST(Plot, ReportsAFolderItCannotWriteTo) {
  expect_error(ErrorCode::kIo, "/nonexistent", [] { draw(small_figure(), "/nonexistent/folder", "figure"); });
}

}  // namespace
}  // namespace claa::eval

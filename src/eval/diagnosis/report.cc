#include "eval/diagnosis/report.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "core/file_map.h"
#include "core/output_file.h"
#include "eval/diagnosis/report_parts.h"
#include "eval/draw/files.h"
#include "output/json.h"

namespace claa::eval {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kLabels = {{
    {"fastkv", "FastKV (one layer)"},
    {"gemfilter", "GemFilter"},
    {"claa_deployed", "CLAA (deployed: max over KV heads, n layers)"},
    {"claa_analysis", "CLAA (as in the paper's analysis)"},
    {"sum", "sum over n layers"},
    {"rank_sum", "rank sum over n layers"},
    {"specprefill", "SpecPrefill look-ahead"},
}};

// A picture of an earlier report beside this one's numbers would mislead.
void remove_other_pictures(const std::vector<Picture>& pictures, const std::filesystem::path& folder) {
  for (const std::string name : kPictureNames) {
    const bool drawn = std::any_of(pictures.begin(), pictures.end(),
                                   [&](const Picture& picture) { return picture.name == name; });
    if (drawn) continue;
    for (const char* ending : {".svg", ".png", ".gp"}) {
      std::error_code ignored;
      std::filesystem::remove(folder / (name + ending), ignored);
    }
  }
}

}  // namespace

std::string heuristic_label(const std::string& name) {
  const auto found =
      std::find_if(kLabels.begin(), kLabels.end(), [&](const auto& entry) { return entry.first == name; });
  return found == kLabels.end() ? name : std::string(found->second);
}

void write_report(const std::vector<PromptDiagnosis>& prompts, const ReportInfo& info,
                  const std::filesystem::path& folder) {
  const Summary summary = summarize(prompts);
  make_folder(folder);
  // The numbers come first, so that they exist even without gnuplot.
  OutputFile(folder / "summary.json").commit(json_text(summary_json(summary, info)) + "\n");
  OutputFile(folder / "curves.csv").commit(curves_csv(summary));
  OutputFile(folder / "prompts.csv").commit(prompts_csv(prompts, summary));
  std::vector<Picture> pictures;
  if (info.pictures) pictures = draw_pictures(summary, folder);
  remove_other_pictures(pictures, folder);
  std::vector<std::string> svgs;
  for (const Picture& picture : pictures) svgs.push_back(read_file(folder / (picture.name + ".svg")));
  OutputFile(folder / "report.html").commit(report_html(prompts, summary, info, pictures, svgs));
}

}  // namespace claa::eval

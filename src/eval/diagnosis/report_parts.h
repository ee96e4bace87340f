// The parts that write_report puts together.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "eval/diagnosis/report.h"
#include "eval/diagnosis/summary.h"
#include "eval/draw/html.h"

namespace claa::eval {

inline constexpr const char* kPictureNames[] = {"spearman_groups", "spearman_tasks", "spearman_all",
                                                "jaccard_all",     "stability_all",  "density",
                                                "head_recall"};

// The readable name of a group or task.
inline std::string shown_name(const std::string& name) {
  return name.empty() ? "(no name)" : name;
}

// Draws the pictures that there are values for, and returns them in the order of the report.
std::vector<Picture> draw_pictures(const Summary& summary, const std::filesystem::path& folder);

boost::json::object summary_json(const Summary& summary, const ReportInfo& info);

// CSV with group,heuristic,layer,metric,mean,standard_error,n; "(all)" is the group of all prompts. An empty
// field means no value.
std::string curves_csv(const Summary& summary);

// CSV with id,group,task,tokens,answer_tokens, then for every heuristic the mean over layers of its Spearman
// with the oracle.
std::string prompts_csv(const std::vector<PromptDiagnosis>& prompts, const Summary& summary);

// One file that refers to nothing outside itself. `svgs` are the pictures' files, in their order.
std::string report_html(const std::vector<PromptDiagnosis>& prompts, const Summary& summary,
                        const ReportInfo& info, const std::vector<Picture>& pictures,
                        const std::vector<std::string>& svgs);

}  // namespace claa::eval

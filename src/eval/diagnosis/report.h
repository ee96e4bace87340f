// The report of `claa diagnose`: numbers, pictures and one HTML file that holds them all.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "eval/diagnosis/diagnosis.h"

namespace claa::eval {

struct ReportInfo {
  std::string title;
  std::vector<std::pair<std::string, std::string>>
      configuration;     // shown in this order: everything needed to run it again
  bool pictures = true;  // false: gnuplot is not needed
};

// The readable name of a heuristic ("fastkv": "FastKV (one layer)"); an unknown name is its own label.
std::string heuristic_label(const std::string& name);

// Writes into `folder`, which is made if it is not there: report.html, summary.json, curves.csv, prompts.csv
// and each picture as NAME.svg, NAME.png and NAME.gp. Each file is written whole or not at all; an older
// report is overwritten, and pictures that this one does not have are removed. Throws Error: kInvalidArgument
// for prompts that make no report (none, ids twice, layers that differ), kNotFound without gnuplot, kIo for
// what the system refuses.
void write_report(const std::vector<PromptDiagnosis>& prompts, const ReportInfo& info,
                  const std::filesystem::path& folder);

}  // namespace claa::eval

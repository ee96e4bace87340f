// The files of an evaluation. The summary's files hold nothing that differs between two runs of one
// configuration; times have separate files.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "eval/draw/text_table.h"
#include "eval/study/scores.h"

namespace claa::eval {

std::vector<TextTable> score_tables(const ScoreSummary& summary);
TextTable timing_table(const ScoreSummary& summary);
std::string completeness(const ScoreSummary& summary);  // a sentence: results, skipped, errors

boost::json::object summary_json(const ScoreSummary& summary, const boost::json::object& configuration);
boost::json::object timing_json(const ScoreSummary& summary, const boost::json::object& configuration);
std::string summary_csv(const ScoreSummary& summary, const boost::json::object& configuration);
std::string timing_csv(const ScoreSummary& summary, const boost::json::object& configuration);

// Writes summary.json, .md and .csv, timing.json, .md and .csv, and report.html with its pictures (unless
// `pictures` is false) into `folder`. Each file appears whole. Throws what draw() and OutputFile throw.
void write_scores(const ScoreSummary& summary, const boost::json::object& configuration, bool pictures,
                  const std::filesystem::path& folder);

}  // namespace claa::eval

// The families of tasks, one file each; all_tasks() puts them in order.
#pragma once

#include <vector>

#include "eval/tasks/task.h"

namespace claa::eval {

std::vector<TaskInfo> ruler_needle_tasks();       // the eight niah_* of RULER
std::vector<TaskInfo> ruler_tracking_tasks();     // vt
std::vector<TaskInfo> ruler_aggregation_tasks();  // cwe, fwe
std::vector<TaskInfo> ruler_qa_tasks();           // qa_1, qa_2
std::vector<TaskInfo> ruler_file_tasks();         // RULER's examples made elsewhere
std::vector<TaskInfo> needle_tasks();             // needle in a haystack
std::vector<TaskInfo> longbench_task_infos();     // LongBench and LongBench-E
std::vector<TaskInfo> retrieval_tasks();          // key-value retrieval and LongEval
std::vector<TaskInfo> babilong_tasks();

}  // namespace claa::eval

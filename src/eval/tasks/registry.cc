#include <algorithm>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/task.h"

namespace claa::eval {

const std::vector<TaskInfo>& all_tasks() {
  static const std::vector<TaskInfo> tasks = [] {
    std::vector<TaskInfo> all;
    for (const auto family :
         {ruler_needle_tasks, ruler_tracking_tasks, ruler_aggregation_tasks, ruler_qa_tasks, ruler_file_tasks,
          needle_tasks, longbench_task_infos, retrieval_tasks, babilong_tasks}) {
      for (TaskInfo& task : family()) all.push_back(std::move(task));
    }
    return all;
  }();
  return tasks;
}

std::vector<TaskInfo> find_tasks(const std::vector<std::string>& names) {
  std::vector<TaskInfo> found;
  for (const std::string& name : names) {
    bool any = false;
    for (const TaskInfo& task : all_tasks()) {
      if (task.name != name && task.group != name) continue;
      any = true;
      // A task named twice, or both by name and by its group, is asked once.
      const bool there = std::any_of(found.begin(), found.end(),
                                     [&](const TaskInfo& other) { return other.name == task.name; });
      if (!there) found.push_back(task);
    }
    if (any) continue;
    std::vector<std::string> known, groups;
    for (const TaskInfo& task : all_tasks()) {
      known.push_back(task.name);
      if (std::find(groups.begin(), groups.end(), task.group) == groups.end()) groups.push_back(task.group);
    }
    fail(ErrorCode::kInvalidArgument, "there is no task '{}'; the groups are {}; the tasks are {}", name,
         fmt::join(groups, ", "), fmt::join(known, ", "));
  }
  return found;
}

}  // namespace claa::eval

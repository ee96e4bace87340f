// Tasks that read data files, on small files in the published formats.
#include <gmock/gmock.h>

#include <map>

#include "tasks_support.h"

namespace claa::eval {
namespace {

using testing::ElementsAre;

std::vector<std::string> ids_of(const std::vector<Example>& examples) {
  std::vector<std::string> ids;
  for (const Example& example : examples) ids.push_back(example.id);
  return ids;
}

// Reads `text` as the file `name` of a folder and expects to be refused.
void expect_refused(const std::string& task, const std::string& name, const std::string& text,
                    const std::string& part) {
  const ScratchFolder folder;
  write_text(folder.path() / name, text);
  expect_error(ErrorCode::kInvalidArgument, part,
               [&] { make_examples(task, task_options(folder.path(), 0, 2048)); });
}

TEST(RulerFiles, ReadsEveryTaskAndLength) {
  const ScratchFolder folder;
  const std::string line =
      R"({"index": 7, "input": "Find 1 in the text.", "outputs": ["1", "2"], "length": 9,)"
      R"( "answer_prefix": " It is"})"
      "\n";
  write_text(folder.path() / "4096" / "vt.jsonl", line + line + line);
  write_text(folder.path() / "2048" / "qa_2.jsonl", line);
  write_text(folder.path() / "2048" / "niah_single_1.jsonl", R"({"input": "I", "outputs": ["1"]})");
  write_text(folder.path() / "notes" / "vt.jsonl", "no number in the folder's name: not read");
  const std::vector<Example> examples = make_examples("ruler_files", task_options(folder.path(), 2, 99));
  EXPECT_THAT(ids_of(examples), ElementsAre("niah_single_1/2048/0", "qa_2/2048/0", "vt/4096/0", "vt/4096/1"));
  EXPECT_EQ(examples[0].answer_prefix, "");
  EXPECT_EQ(examples[0].max_tokens, 128);
  EXPECT_EQ(examples[1].metric, "ruler_part");
  EXPECT_EQ(examples[2].metric, "ruler_all");
  EXPECT_EQ(examples[2].prompt, "Find 1 in the text.");
  EXPECT_EQ(examples[2].answer_prefix, " It is");
  EXPECT_THAT(examples[2].answers, ElementsAre("1", "2"));
  EXPECT_EQ(examples[2].group, "ruler");
  EXPECT_EQ(examples[2].max_tokens, 30);
  EXPECT_EQ(examples[2].facets.at("length"), 4096);
  EXPECT_EQ(make_examples("ruler_files", task_options(folder.path() / "4096" / "", 0, 99)).size(), 3u);
  EXPECT_EQ(make_examples("ruler_files", task_options(folder.path() / "4096", 0, 99))[0].facets.at("length"),
            4096);
}

TEST(RulerFiles, BadOnesAreRefused) {
  expect_refused("ruler_files", "vt.jsonl", R"({"outputs": ["1"]})",
                 "vt.jsonl' line 1: field 'input' is missing");
  expect_refused("ruler_files", "vt.jsonl", R"({"input": "", "outputs": ["1"]})", "field 'input' is empty");
  expect_refused("ruler_files", "vt.jsonl", "\n{\"input\": \"a\", \"outputs\": [1]}\n",
                 "line 2: field 'outputs' must be an array of strings");
  expect_refused("ruler_files", "vt.jsonl", R"({"input": "a", "outputs": []})",
                 "field 'outputs' is an empty array");
  expect_refused("ruler_files", "vt.jsonl", R"({"input": "a", "outp)", "line 1: not a JSON object: ");
  expect_refused("ruler_files", "vt.jsonl", "[]\n", "line 1: not a JSON object");
  expect_refused("ruler_files", "vt.jsonl", "\n \n", "vt.jsonl' has no records");
  expect_refused("ruler_files", "other.jsonl", "{}", "have files like niah_single_1.jsonl");
  const ScratchFolder folder;
  write_text(folder.path() / "vt.jsonl", "{}");
  expect_error(ErrorCode::kInvalidArgument, "is no folder",
               [&] { make_examples("ruler_files", task_options(folder.path() / "vt.jsonl", 1, 99)); });
}

TEST(LongBenchFiles, FillsTheOfficialPrompts) {
  const ScratchFolder folder;
  for (const TaskInfo& task : find_tasks({"longbench", "longbench_e"})) {
    write_text(
        folder.path() / "data" / (task.name + ".jsonl"),
        R"({"input": "I {context}", "context": "C {input}", "answers": ["a", "b"], "length": 4000, "dataset": "x",)"
        R"( "language": "en", "all_classes": ["a", "c"], "_id": "1"})");
  }
  for (const TaskInfo& task : find_tasks({"longbench", "longbench_e"})) {
    const std::vector<Example> examples = task.make(task_options(folder.path(), 0, 2048));
    ASSERT_EQ(examples.size(), 1u) << task.name;
    const Example& example = examples[0];
    const bool e = task.group == "longbench_e";
    const std::string base = e ? task.name.substr(0, task.name.size() - 2) : task.name;
    EXPECT_EQ(example.id, task.name + "/0");
    EXPECT_EQ(example.metric, "longbench/" + base);
    EXPECT_NE(example.prompt.find("C {input}"), std::string::npos) << task.name;
    const bool asks =
        base != "gov_report" && base != "multi_news" && base != "passage_count" && base != "lcc";
    EXPECT_EQ(example.prompt.find("I {context}") != std::string::npos, asks) << task.name;
    const std::vector<std::string> raw = {"trec", "triviaqa", "samsum", "lcc", "repobench-p"};
    EXPECT_EQ(example.chat, std::find(raw.begin(), raw.end(), base) == raw.end()) << task.name;
    EXPECT_EQ(example.classes.size(), base == "trec" ? 2u : 0u);
    EXPECT_EQ(example.facets.at("words"), 4000);
    EXPECT_EQ(example.facets.count("bucket"), e ? 1u : 0u);
    if (e) {
      EXPECT_EQ(example.facets.at("bucket"), 4000);
    }
    EXPECT_NO_THROW(score(example, "a"));
  }
  EXPECT_EQ(
      make_examples("hotpotqa", task_options(folder.path(), 0, 1))[0].prompt,
      "Answer the question based on the given passages. Only give me the answer and do not output any other "
      "words.\n\nThe following are given passages.\nC {input}\n\nAnswer the question based on the given "
      "passages. "
      "Only give me the answer and do not output any other words.\n\nQuestion: I {context}\nAnswer:");
  EXPECT_EQ(make_examples("repobench-p", task_options(folder.path(), 0, 1))[0].prompt,
            "Please complete the code given below. \nC {input}I {context}Next line of code:\n");
}

TEST(LongBenchFiles, RecordsOfSeveralTasksInOneFile) {
  const ScratchFolder folder;
  write_text(folder.path() / "mixed.jsonl",
             R"({"task": "lcc", "prompt": "one", "answers": ["a"], "all_classes": null})"
             "\n"
             R"({"task": "trec", "prompt": "two", "answers": ["a"], "all_classes": ["a"]})"
             "\n"
             R"({"dataset": "lcc", "input": "", "context": "three", "answers": ["a"]})"
             "\n"
             R"({"task": "lcc", "prompt": "four", "answers": ["a"]})"
             "\n");
  const std::vector<Example> all = make_examples("lcc", task_options(folder.path(), 0, 1));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].prompt, "one");
  EXPECT_EQ(all[1].prompt, "Please complete the code given below. \nthreeNext line of code:\n");
  EXPECT_EQ(make_examples("lcc", task_options(folder.path(), 2, 1)).size(), 2u);
  EXPECT_EQ(make_examples("trec", task_options(folder.path() / "mixed.jsonl", 0, 1)).size(), 1u);
  expect_error(ErrorCode::kInvalidArgument, "has neither qasper.jsonl nor records",
               [&] { make_examples("qasper", task_options(folder.path(), 0, 1)); });
  expect_error(ErrorCode::kInvalidArgument, "has neither lcc_e.jsonl",
               [&] { make_examples("lcc_e", task_options(folder.path(), 0, 1)); });
}

TEST(LongBenchFiles, BadOnesAreRefused) {
  expect_refused("qasper", "qasper.jsonl", R"({"input": "i", "answers": ["a"]})",
                 "qasper.jsonl' line 1: field 'context' is missing");
  expect_refused("qasper", "qasper.jsonl", R"({"context": "c", "input": "i", "answers": "a"})",
                 "field 'answers' must be an array of strings");
  expect_refused("qasper", "qasper.jsonl",
                 R"({"context": "c", "input": "i", "answers": ["a"], "length": "long"})",
                 "field 'length' must be a whole number");
  expect_refused("trec", "trec.jsonl", R"({"context": "c", "input": "i", "answers": ["a"]})",
                 "field 'all_classes' is missing");
  expect_refused("qasper", "mixed.jsonl", R"({"task": "qasper", "prompt": "", "answers": ["a"]})",
                 "field 'prompt' is empty");
  expect_refused("qasper", "mixed.jsonl", "{", "mixed.jsonl' line 1: not a JSON object");
  expect_refused("qasper", "qasper.jsonl", "{\"context\": \"\xff\"}", "not a JSON object");
}

TEST(KeyValueFiles, WritesTheRecordsAsAnObject) {
  const ScratchFolder folder;
  write_text(
      folder.path() / "kv-retrieval-3_keys.jsonl",
      R"({"ordered_kv_records": [["k1", "v1"], ["k\"2", "v2"], ["k3", "v3"]], "key": "k\"2", "value": "v2"})");
  const std::vector<Example> examples = make_examples("kv_retrieval", task_options(folder.path(), 0, 1));
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_EQ(
      examples[0].prompt,
      "Extract the value corresponding to the specified key in the JSON object below.\n\nJSON data:\n"
      "{\"k1\": \"v1\",\n \"k\\\"2\": \"v2\",\n \"k3\": \"v3\"}\n\nKey: \"k\\\"2\"\nCorresponding value:");
  EXPECT_EQ(examples[0].facets.at("depth"), 50);
  EXPECT_EQ(examples[0].facets.at("keys"), 3);
  EXPECT_EQ(score(examples[0], "It is V2."), 1);
  const std::string file = "kv-retrieval-3_keys.jsonl";
  expect_refused("kv_retrieval", file, R"({"ordered_kv_records": [["a"]], "key": "a", "value": "b"})",
                 "pairs of strings");
  expect_refused("kv_retrieval", file, R"({"ordered_kv_records": [["a", "b"]], "key": "c", "value": "b"})",
                 "field 'key' is 'c', which 'ordered_kv_records' does not have");
  expect_refused("kv_retrieval", file, R"({"ordered_kv_records": [["a", "b"]], "key": "a", "value": ""})",
                 "field 'value' is empty");
  expect_refused("kv_retrieval", file, R"({"ordered_kv_records": {}, "key": "a", "value": ""})",
                 "must be an array");
  expect_refused("kv_retrieval", file + ".gz", "x", "unpacked");
}

TEST(LongEvalFiles, LinesAndTopics) {
  const ScratchFolder folder;
  write_text(
      folder.path() / "lines" / "200_lines.jsonl",
      R"({"random_idx": ["a-b", 1], "expected_number": 2416, "num_lines": 200, "prompt": "Lines ..."})");
  write_text(folder.path() / "topics" / "2_topics.jsonl",
             R"({"test_id": 0, "prompt": "Topics ...", "topics": ["The sea", "The moon"]})");
  const std::vector<Example> lines = make_examples("longeval_lines", task_options(folder.path(), 0, 1));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].id, "longeval_lines/200_lines/0");
  EXPECT_THAT(lines[0].answers, ElementsAre("2416"));
  EXPECT_EQ(lines[0].facets.at("lines"), 200);
  EXPECT_EQ(score(lines[0], "In line 7 it is <2416>."), 1);
  const std::vector<Example> topics =
      make_examples("longeval_topics", task_options(folder.path() / "topics", 0, 1));
  ASSERT_EQ(topics.size(), 1u);
  EXPECT_THAT(topics[0].answers, ElementsAre("The sea"));
  EXPECT_EQ(topics[0].facets.at("topics"), 2);
  expect_refused("longeval_lines", "1_lines.jsonl", R"({"prompt": "p", "expected_number": "x"})",
                 "1_lines.jsonl' line 1: field 'expected_number' must be a whole number");
  expect_refused("longeval_lines", "1_lines.jsonl", R"({"prompt": "", "expected_number": 1})",
                 "field 'prompt' is empty");
  expect_refused("longeval_topics", "1_topics.jsonl", R"({"prompt": "p", "topics": [""]})",
                 "field 'topics' is empty");
  expect_refused("longeval_topics", "1_lines.jsonl", "{}", "ends with _topics.jsonl");
}

TEST(BabilongFiles, PromptsLabelsAndLengths) {
  const ScratchFolder folder;
  for (const std::string& length : {std::string("4k"), std::string("1k")}) {
    for (const char* task : {"qa1", "qa2", "qa3", "qa4", "qa5"}) {
      write_text(
          folder.path() / length / (task + std::string(".jsonl")),
          R"({"input": " Mary is in the garden. \n", "question": "Where was the milk before the garden? ",)"
          R"( "target": "kitchen"})"
          "\n");
    }
  }
  for (const TaskInfo& task : find_tasks({"babilong"})) {
    const std::vector<Example> examples = task.make(task_options(folder.path(), 0, 1));
    ASSERT_EQ(examples.size(), 2u);
    EXPECT_EQ(examples[0].id, task.name + "/1000/0");
    EXPECT_EQ(examples[1].facets.at("length"), 4000);
    EXPECT_TRUE(examples[0].prompt.ends_with(
        "\n\n<context>\nMary is in the garden.\n</context>\n\nQuestion: Where was the "
        "milk before the garden?"))
        << examples[0].prompt;
    EXPECT_EQ(task.make(task_options(folder.path() / "4k", 0, 1)).size(), 1u);
  }
  const Example first = make_examples("babilong_qa1", task_options(folder.path(), 1, 1))[0];
  EXPECT_THAT(first.classes, ElementsAre("bathroom", "bedroom", "hallway", "kitchen", "office"));
  EXPECT_EQ(score(first, "Before the garden the milk was in the kitchen."), 1);
  EXPECT_EQ(score(first, "It was in the office, then in the kitchen."), 0);
  expect_refused("babilong_qa2", "qa2.jsonl", R"({"input": "i", "target": "t"})",
                 "qa2.jsonl' line 1: field 'question' is missing");
  expect_refused("babilong_qa2", "qa2.jsonl", R"({"input": "i", "question": "q", "target": ""})",
                 "field 'target' is empty");
  expect_refused("babilong_qa2", "qa1.jsonl", "{}", "no qa2.jsonl in");
}

}  // namespace
}  // namespace claa::eval

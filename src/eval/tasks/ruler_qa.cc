// RULER's question answering (NVIDIA/RULER, scripts/data/synthetic/qa.py): the paragraphs of one question of
// SQuAD or HotpotQA, among paragraphs of other questions.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "eval/tasks/families.h"
#include "eval/tasks/generate.h"
#include "eval/tasks/records.h"

namespace claa::eval {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

struct QaQuestion {
  std::string text;
  std::vector<std::string> answers;
  std::vector<int64_t> documents;  // the question's own documents
  std::vector<int64_t> related;    // of the same article; they are added next
};

struct Corpus {
  std::vector<std::string> documents;  // distinct, in order
  std::vector<QaQuestion> questions;
};

// Numbers the documents in their order, as the original does.
class DocumentIndex {
 public:
  void add(const std::string& document) { numbers_.emplace(document, 0); }
  std::vector<std::string> finish() {
    std::vector<std::string> documents;
    for (auto& [document, number] : numbers_) {
      number = static_cast<int64_t>(documents.size());
      documents.push_back(document);
    }
    return documents;
  }
  int64_t number(const std::string& document) const { return numbers_.at(document); }

 private:
  std::map<std::string, int64_t> numbers_;
};

Record record_of(const json::value& value, const std::string& where) {
  if (!value.is_object()) fail(ErrorCode::kInvalidArgument, "{}: must be an object", where);
  return Record(value.as_object(), where);
}

const json::array& array_of(const Record& record, const char* name) {
  const json::value& value = record.at(name);
  if (!value.is_array()) record.refuse(name, "must be an array");
  return value.as_array();
}

void add_squad_questions(const Record& paragraph, const DocumentIndex& index,
                         const std::vector<int64_t>& article, Corpus& corpus) {
  const int64_t own = index.number(paragraph.text("context"));
  const json::array& questions = array_of(paragraph, "qas");
  for (size_t q = 0; q < questions.size(); ++q) {
    const Record asked = record_of(questions[q], fmt::format("{}, qas[{}]", paragraph.where(), q));
    // Version 1 of the data lacks this field: every question can be answered.
    const json::value* impossible = asked.find("is_impossible");
    if (impossible != nullptr && impossible->is_bool() && impossible->as_bool()) continue;
    QaQuestion question;
    question.text = asked.text("question");
    const json::array& answers = array_of(asked, "answers");
    for (size_t a = 0; a < answers.size(); ++a) {
      question.answers.push_back(
          record_of(answers[a], fmt::format("{}, answers[{}]", asked.where(), a)).text("text"));
    }
    if (question.answers.empty()) asked.refuse("answers", "is an empty array");
    question.documents = {own};
    std::copy_if(article.begin(), article.end(), std::back_inserter(question.related),
                 [own](int64_t other) { return other != own; });
    corpus.questions.push_back(std::move(question));
  }
}

Corpus read_squad(const std::string& path) {
  const Record file = record_of(read_json_file(path), fmt::format("'{}'", path));
  std::vector<std::vector<Record>> articles;
  DocumentIndex index;
  const json::array& data = array_of(file, "data");
  for (size_t a = 0; a < data.size(); ++a) {
    const Record article = record_of(data[a], fmt::format("{} data[{}]", file.where(), a));
    const json::array& paragraphs = array_of(article, "paragraphs");
    articles.emplace_back();
    for (size_t p = 0; p < paragraphs.size(); ++p) {
      articles.back().push_back(
          record_of(paragraphs[p], fmt::format("{}.paragraphs[{}]", article.where(), p)));
      index.add(articles.back().back().text("context"));
    }
  }
  Corpus corpus;
  corpus.documents = index.finish();
  for (const std::vector<Record>& article : articles) {
    std::vector<int64_t> documents;
    for (const Record& paragraph : article) {
      const int64_t number = index.number(paragraph.text("context"));
      if (std::find(documents.begin(), documents.end(), number) == documents.end())
        documents.push_back(number);
    }
    for (const Record& paragraph : article) add_squad_questions(paragraph, index, documents, corpus);
  }
  return corpus;
}

std::string hotpot_document(const Record& record, const json::value& title, const json::value& sentences) {
  if (!title.is_string() || !sentences.is_array()) {
    record.refuse("context", "must hold titles and arrays of sentences");
  }
  std::string document = std::string(title.as_string()) + "\n";
  for (const json::value& sentence : sentences.as_array()) {
    if (!sentence.is_string()) record.refuse("context", "must hold titles and arrays of sentences");
    document += std::string_view(sentence.as_string());
  }
  return document;
}

// Pairs [title, sentences], as HotpotQA is published, or an object of two columns, as data hubs store it.
std::vector<std::string> hotpot_documents(const Record& record) {
  std::vector<std::string> documents;
  const json::value& context = record.at("context");
  if (context.is_object()) {
    const Record columns(context.as_object(), record.where() + " context");
    const json::array &titles = array_of(columns, "title"), &sentences = array_of(columns, "sentences");
    if (titles.size() != sentences.size()) columns.refuse("sentences", "has not as many items as 'title'");
    for (size_t i = 0; i < titles.size(); ++i) {
      documents.push_back(hotpot_document(record, titles[i], sentences[i]));
    }
    return documents;
  }
  for (const json::value& pair : array_of(record, "context")) {
    if (!pair.is_array() || pair.as_array().size() != 2)
      record.refuse("context", "must hold [title, sentences] pairs");
    documents.push_back(hotpot_document(record, pair.as_array()[0], pair.as_array()[1]));
  }
  return documents;
}

Corpus read_hotpot(const std::string& path) {
  const json::value file = read_json_file(path);
  if (!file.is_array()) fail(ErrorCode::kInvalidArgument, "'{}' must hold an array of questions", path);
  std::vector<Record> records;
  std::vector<std::vector<std::string>> documents;
  DocumentIndex index;
  for (size_t i = 0; i < file.as_array().size(); ++i) {
    records.push_back(record_of(file.as_array()[i], fmt::format("'{}' [{}]", path, i)));
    documents.push_back(hotpot_documents(records.back()));
    if (documents.back().empty()) records.back().refuse("context", "has no paragraphs");
    for (const std::string& document : documents.back()) index.add(document);
  }
  Corpus corpus;
  corpus.documents = index.finish();
  for (size_t i = 0; i < records.size(); ++i) {
    QaQuestion question;
    question.text = records[i].text("question");
    question.answers = {records[i].text("answer")};
    for (const std::string& document : documents[i]) {
      const int64_t number = index.number(document);
      if (std::find(question.documents.begin(), question.documents.end(), number) == question.documents.end())
        question.documents.push_back(number);
    }
    corpus.questions.push_back(std::move(question));
  }
  return corpus;
}

// The question's own documents, then those of its article, then any others, shuffled. Unlike the original, a
// question with more than `count` own documents keeps all of them.
std::vector<int64_t> choose(const Corpus& corpus, const QaQuestion& question, Random& random, int64_t count) {
  std::vector<int64_t> chosen = question.documents, related = question.related;
  random.shuffle(related);
  std::set<int64_t> used(chosen.begin(), chosen.end());
  used.insert(related.begin(), related.end());
  std::vector<int64_t> others;
  for (int64_t i = 0; i < static_cast<int64_t>(corpus.documents.size()); ++i) {
    if (used.count(i) == 0) others.push_back(i);
  }
  random.shuffle(others);
  for (const std::vector<int64_t>* more : {&related, &others}) {
    for (const int64_t document : *more) {
      if (static_cast<int64_t>(chosen.size()) < count) chosen.push_back(document);
    }
  }
  random.shuffle(chosen);
  return chosen;
}

Draft make(const Corpus& corpus, const QaQuestion& question, Random& random, int64_t count) {
  const std::vector<int64_t> documents = choose(corpus, question, random, count);
  std::string context;
  for (size_t i = 0; i < documents.size(); ++i) {
    context +=
        fmt::format("{}Document {}:\n{}", i == 0 ? "" : "\n\n", i + 1, corpus.documents[usize(documents[i])]);
  }
  constexpr const char* instruction =
      "Answer the question based on the given documents. Only give me the answer and do not output any other "
      "words.";
  Draft draft;
  draft.prompt = fmt::format("{0}\n\nThe following are given documents.\n\n{1}\n\n{0}\n\nQuestion: {2}",
                             instruction, context, question.text);
  draft.answer_prefix = " Answer:";
  draft.answers = question.answers;
  return draft;
}

struct QaTask {
  const char* name;
  const char* summary;
  const char* needs;
  std::vector<const char*> names;  // parts of a data file's name, in small letters
  Corpus (*read)(const std::string&);
};

std::string find_file(const QaTask& task, const std::string& data) {
  const std::vector<std::string> files = data_files(data, ".json", task.name, task.needs);
  if (files.size() == 1 && files[0] == data) return data;
  std::vector<std::string> found;
  for (const std::string& file : files) {
    std::string name = fs::path(file).filename().string();
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (std::any_of(task.names.begin(), task.names.end(),
                    [&](const char* part) { return name.find(part) != name.npos; }))
      found.push_back(file);
  }
  if (found.size() != 1) {
    fail(ErrorCode::kInvalidArgument, "task '{}': {} files in '{}' have {} in their name; it needs {}",
         task.name, found.size(), data, fmt::join(task.names, " or "), task.needs);
  }
  return found[0];
}

// The questions whose own documents fit, in the order of the file; the others cannot be asked at this length.
std::vector<const QaQuestion*> that_fit(const Corpus& corpus, const TaskOptions& options, int64_t budget,
                                        int64_t wanted) {
  std::vector<const QaQuestion*> fitting;
  for (const QaQuestion& question : corpus.questions) {
    if (static_cast<int64_t>(fitting.size()) == wanted) break;
    Random random(options.seed, "fits", 0, 0);
    const Draft draft = make(corpus, question, random, 0);
    if (options.count_tokens(draft.prompt + draft.answer_prefix) <= budget) fitting.push_back(&question);
  }
  return fitting;
}

std::vector<Example> make_all(const QaTask& task, const TaskOptions& options) {
  check_generation(options, task.name);
  const std::string path = find_file(task, options.data);
  const Corpus corpus = task.read(path);
  if (corpus.questions.empty()) {
    fail(ErrorCode::kInvalidArgument, "'{}' has no question with an answer; task '{}' needs {}", path,
         task.name, task.needs);
  }
  Generator generator;
  generator.task = task.name;
  generator.metric = "ruler_part";
  generator.max_tokens = 32;
  generator.most = static_cast<int64_t>(corpus.documents.size());
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    const int64_t wanted = options.examples == 0 ? kAllGenerated : options.examples;
    const std::vector<const QaQuestion*> questions =
        that_fit(corpus, options, length - generator.max_tokens, wanted);
    if (questions.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "task '{}': the paragraphs of no question in '{}' fit into {} tokens; give a greater length",
           task.name, path, group_digits(length));
    }
    generator.questions = static_cast<int64_t>(questions.size());
    generator.make = [&](Random& random, int64_t count, int64_t index) {
      return make(corpus, *questions[usize(index)], random, count);
    };
    for (Example& example : generate(generator, options, length)) examples.push_back(std::move(example));
  }
  return examples;
}

const QaTask kQaTasks[] = {
    {"qa_1",
     "questions of SQuAD among its paragraphs",
     "SQuAD's JSON file (squad.json, dev-v2.0.json, ...), or a folder with it",
     {"quad", "dev-v", "train-v"},
     read_squad},
    {"qa_2",
     "questions of HotpotQA among its paragraphs",
     "HotpotQA's distractor JSON file (hotpotqa.json, ...), or a folder with it",
     {"hotpot"},
     read_hotpot},
};

}  // namespace

std::vector<TaskInfo> ruler_qa_tasks() {
  std::vector<TaskInfo> tasks;
  for (const QaTask& task : kQaTasks) {
    tasks.push_back({task.name, "ruler", task.summary, task.needs,
                     [&task](const TaskOptions& options) { return make_all(task, options); }});
  }
  return tasks;
}

}  // namespace claa::eval

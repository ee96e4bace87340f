// The wording is a fact of the benchmark, misspellings and blanks at line ends included (THUDM/LongBench,
// LongBench/config; MIT).
#include "eval/tasks/longbench.h"

namespace claa::eval {
namespace {

constexpr LongBenchTask kLongBench[] = {
    {"narrativeqa", "questions about a story", 128, false, true,
     "You are given a story, which can be either a novel or a movie script, and a question. Answer "
     "the question asconcisely as you can, using a single phrase if possible. Do not provide any "
     "explanation.\n\nStory: {context}\n\nNow, answer the question based on the story asconcisely as "
     "you can, using a single phrase if possible. Do not provide any explanation.\n\nQuestion: "
     "{input}\n\nAnswer:"},
    {"qasper", "questions about a scientific article", 128, true, true,
     "You are given a scientific article and a question. Answer the question as concisely as you can, "
     "using a single phrase or sentence if possible. If the question cannot be answered based on the "
     "information in the article, write \"unanswerable\". If the question is a yes/no question, "
     "answer \"yes\", \"no\", or \"unanswerable\". Do not provide any explanation.\n\nArticle: "
     "{context}\n\n Answer the question based on the above article as concisely as you can, using a "
     "single phrase or sentence if possible. If the question cannot be answered based on the "
     "information in the article, write \"unanswerable\". If the question is a yes/no question, "
     "answer \"yes\", \"no\", or \"unanswerable\". Do not provide any explanation.\n\nQuestion: "
     "{input}\n\nAnswer:"},
    {"multifieldqa_en", "questions about one text", 64, true, true,
     "Read the following text and answer briefly.\n\n{context}\n\nNow, answer the following question "
     "based on the above text, only give me the answer and do not output any other "
     "words.\n\nQuestion: {input}\nAnswer:"},
    {"hotpotqa", "questions over several passages", 32, true, true,
     "Answer the question based on the given passages. Only give me the answer and do not output any "
     "other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on "
     "the given passages. Only give me the answer and do not output any other words.\n\nQuestion: "
     "{input}\nAnswer:"},
    {"2wikimqa", "questions over several passages", 32, true, true,
     "Answer the question based on the given passages. Only give me the answer and do not output any "
     "other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on "
     "the given passages. Only give me the answer and do not output any other words.\n\nQuestion: "
     "{input}\nAnswer:"},
    {"musique", "questions over several passages", 32, false, true,
     "Answer the question based on the given passages. Only give me the answer and do not output any "
     "other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on "
     "the given passages. Only give me the answer and do not output any other words.\n\nQuestion: "
     "{input}\nAnswer:"},
    {"gov_report", "summary of a report", 512, true, true,
     "You are given a report by a government agency. Write a one-page summary of the "
     "report.\n\nReport:\n{context}\n\nNow, write a one-page summary of the report.\n\nSummary:"},
    {"qmsum", "summary of a meeting for a query", 512, false, true,
     "You are given a meeting transcript and a query containing a question or instruction. Answer the "
     "query in one or more sentences.\n\nTranscript:\n{context}\n\nNow, answer the query based on the "
     "above meeting transcript in one or more sentences.\n\nQuery: {input}\nAnswer:"},
    {"multi_news", "summary of several news", 512, true, true,
     "You are given several news passages. Write a one-page summary of all news. "
     "\n\nNews:\n{context}\n\nNow, write a one-page summary of all the news.\n\nSummary:"},
    {"trec", "type of a question, from examples", 64, true, false,
     "Please determine the type of the question below. Here are some examples of "
     "questions.\n\n{context}\n{input}"},
    {"triviaqa", "trivia questions, from examples", 32, true, false,
     "Answer the question based on the given passage. Only give me the answer and do not output any "
     "other words. The following are some examples.\n\n{context}\n\n{input}"},
    {"samsum", "summary of a dialogue, from examples", 128, true, false,
     "Summarize the dialogue into a few short sentences. The following are some "
     "examples.\n\n{context}\n\n{input}"},
    {"passage_count", "number of different paragraphs", 32, true, true,
     "There are some paragraphs below sourced from Wikipedia. Some of them may be duplicates. Please "
     "carefully read these paragraphs and determine how many unique paragraphs there are after "
     "removing duplicates. In other words, how many non-repeating paragraphs are there in "
     "total?\n\n{context}\n\nPlease enter the final count of unique paragraphs after removing "
     "duplicates. The output format should only contain the number, such as 1, 2, 3, and so "
     "on.\n\nThe final answer is: "},
    {"passage_retrieval_en", "paragraph that an abstract is of", 32, true, true,
     "Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine which paragraph "
     "the abstract is from.\n\n{context}\n\nThe following is an abstract.\n\n{input}\n\nPlease enter "
     "the number of the paragraph that the abstract is from. The answer format must be like "
     "\"Paragraph 1\", \"Paragraph 2\", etc.\n\nThe answer is: "},
    {"lcc", "next line of code", 64, true, false,
     "Please complete the code given below. \n{context}Next line of code:\n"},
    {"repobench-p", "next line of code, from a repository", 64, true, false,
     "Please complete the code given below. \n{context}{input}Next line of code:\n"},
};

}  // namespace

std::span<const LongBenchTask> longbench_definitions() {
  return kLongBench;
}

}  // namespace claa::eval

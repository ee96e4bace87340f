#include "tokenizer/bpe.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/usize.h"
#include "text/utf8.h"
#include "text/visible.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/spaces.h"

namespace claa {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr Merge kNoMerge{kNone, -1};

// For words up to this length, rescanning for each merge is faster than keeping a heap.
constexpr size_t kShortWord = 48;

// Order for std::push_heap, which keeps the greatest on top: a later merge compares as smaller.
struct ComesLater {
  bool operator()(const BpeModel::Scratch::Candidate& a, const BpeModel::Scratch::Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

}  // namespace

BpeModel::BpeModel(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                   const std::vector<std::string>& merges, Options options)
    : options_(options),
      by_text_(tokens.size()),
      by_bytes_(tokens.size()),
      merges_(merges.size()),
      word_states_(std::make_unique<std::atomic<uint8_t>[]>(tokens.size())) {
  index_tokens(tokens, roles, options.source);
  index_merges(tokens, roles, merges, options.source);
}

void BpeModel::index_tokens(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                            std::string_view source) {
  bytes_.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!by_text_.insert(tokens, id)) {
      fail(ErrorCode::kCorruptFile, "{}: token {} '{}' repeats token {}", source, i, visible_bytes(tokens[i]),
           by_text_.find(tokens, tokens[i]));
    }
    const auto text = decoded(tokens[i], roles[i]);
    bytes_.push_back(text.value_or(tokens[i]));
    if (text && !text->empty()) by_bytes_.insert(bytes_, id);
  }
  for (size_t b = 0; b < byte_ids_.size(); ++b) {
    const auto byte = static_cast<uint8_t>(b);
    const int32_t id = by_text_.find(
        tokens, options_.characters ? fmt::format("<0x{:02X}>", b) : byte_level_character(byte));
    byte_ids_[b] = id >= 0 && roles[usize(id)] != TokenRole::kControl ? id : -1;
    if (options_.characters && options_.byte_fallback && byte_ids_[b] >= 0)
      bytes_[usize(id)] = std::string(1, static_cast<char>(byte));
  }
}

// What a token stands for in words; nothing where words do not become it.
std::optional<std::string> BpeModel::decoded(const std::string& token, TokenRole role) {
  if (!options_.characters) return role == TokenRole::kNormal ? byte_level_decode(token) : std::nullopt;
  return role == TokenRole::kControl ? std::nullopt : std::optional(with_plain_spaces(token));
}

void BpeModel::index_merges(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                            const std::vector<std::string>& merges, std::string_view source) {
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string& merge = merges[rank];
    const size_t space = merge.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string::npos) {
      fail(ErrorCode::kCorruptFile, "{}: merge {} '{}' is not two tokens with one space between", source,
           rank, visible_bytes(merge));
    }
    const auto token_of = [&](std::string_view text) {
      const int32_t id = by_text_.find(tokens, text);
      if (id < 0) {
        fail(ErrorCode::kCorruptFile, "{}: merge {} '{}' needs token '{}', which the vocabulary lacks",
             source, rank, visible_bytes(merge), visible_bytes(text));
      }
      return id;
    };
    const std::string_view view = merge;
    const int32_t left = token_of(view.substr(0, space));
    const int32_t right = token_of(view.substr(space + 1));
    const int32_t result = token_of(merge.substr(0, space) + merge.substr(space + 1));
    if (roles[usize(result)] == TokenRole::kControl) continue;
    if (options_.characters && bytes_[usize(right)].starts_with(' ') && !bytes_[usize(left)].ends_with(' '))
      joins_space_.set(static_cast<uint8_t>(bytes_[usize(left)].back()));
    if (!merges_.insert(left, right, {static_cast<uint32_t>(rank), result})) {
      fail(ErrorCode::kCorruptFile, "{}: merge {} '{}' occurs twice", source, rank, visible_bytes(merge));
    }
  }
}

void BpeModel::encode_word(std::string_view word, std::vector<int32_t>& out, Scratch& scratch) const {
  const int32_t whole = by_bytes_.find(bytes_, word);
  if (whole >= 0) {
    const auto state = word_states_[usize(whole)].load(std::memory_order_relaxed);
    if (options_.ignore_merges || state == kOneToken) {
      out.push_back(whole);
      return;
    }
  }
  scratch.ids.clear();
  if (options_.characters) {
    start_from_characters(word, scratch);
  } else {
    for (const char c : word) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
      if (id >= 0) scratch.ids.push_back(id);
    }
  }
  merge_all(scratch);
  if (whole >= 0) {
    const bool one = scratch.ids.size() == 1 && scratch.ids[0] == whole;
    word_states_[usize(whole)].store(one ? kOneToken : kSeveralTokens, std::memory_order_relaxed);
  }
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

void BpeModel::start_from_characters(std::string_view word, Scratch& scratch) const {
  bool unknown_before = false;
  for (size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, next_utf8_unit(word.substr(at)).size);
    at += character.size();
    const int32_t id = by_bytes_.find(bytes_, character);
    const auto has_byte = [this](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; };
    const bool by_bytes =
        id < 0 && options_.byte_fallback && std::all_of(character.begin(), character.end(), has_byte);
    const bool unknown = id < 0 && !by_bytes;
    if (id >= 0) scratch.ids.push_back(id);
    if (by_bytes)
      for (const char c : character) scratch.ids.push_back(byte_ids_[static_cast<uint8_t>(c)]);
    if (unknown && options_.unknown >= 0 && !(unknown_before && options_.fuse_unknown))
      scratch.ids.push_back(options_.unknown);
    unknown_before = unknown;
  }
}

size_t BpeModel::word_end(std::string_view text, size_t begin) const {
  for (size_t at = text.find(' ', begin + 1); at != std::string_view::npos; at = text.find(' ', at + 1)) {
    const char before = text[at - 1];
    if (before != ' ' && !joins_space_.test(static_cast<uint8_t>(before))) return at;
  }
  return text.size();
}

void BpeModel::merge_all(Scratch& scratch) const {
  if (scratch.ids.size() < 2) return;
  if (scratch.ids.size() <= kShortWord) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
}

// merges[i] is the merge of symbols i and i + 1.
void BpeModel::merge_short(Scratch& scratch) const {
  auto& ids = scratch.ids;
  auto& merges = scratch.merges;
  const auto merge_at = [&](size_t i) {
    const Merge* merge = merges_.find(ids[i], ids[i + 1]);
    return merge != nullptr ? *merge : kNoMerge;
  };
  size_t count = ids.size();
  merges.resize(count - 1);
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merge_at(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNone) break;
    ids[best] = merges[best].result;
    std::copy(ids.begin() + best + 2, ids.begin() + count, ids.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + (count - 1), merges.begin() + best);
    --count;
    if (best > 0) merges[best - 1] = merge_at(best - 1);
    if (best + 1 < count) merges[best] = merge_at(best);
  }
  ids.resize(count);
}

void BpeModel::push_candidate(Scratch& scratch, uint32_t position) const {
  if (position == kNone) return;
  const auto& left = scratch.symbols[position];
  if (left.next == kNone) return;
  const int32_t right = scratch.symbols[left.next].id;
  const Merge* merge = merges_.find(left.id, right);
  if (merge == nullptr) return;
  scratch.heap.push_back({merge->rank, position, left.id, right, merge->result});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), ComesLater{});
}

// A linked list of symbols and a heap of candidate merges: O(n log n). A candidate whose symbols have changed
// is not removed, but recognised as stale when it comes up. A symbol swallowed by its left neighbour gets the
// id -1.
void BpeModel::merge_long(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  const auto count = static_cast<uint32_t>(scratch.ids.size());
  symbols.resize(count);
  scratch.heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    symbols[i] = {scratch.ids[i], i + 1 < count ? i + 1 : kNone, i > 0 ? i - 1 : kNone};
  }
  for (uint32_t i = 0; i < count; ++i) push_candidate(scratch, i);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), ComesLater{});
    const Scratch::Candidate top = scratch.heap.back();
    scratch.heap.pop_back();
    auto& left = symbols[top.position];
    if (left.id != top.left || left.next == kNone || symbols[left.next].id != top.right) continue;
    auto& right = symbols[left.next];
    left.id = top.result;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = top.position;
    push_candidate(scratch, left.previous);
    push_candidate(scratch, top.position);
  }
  scratch.ids.clear();
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) scratch.ids.push_back(symbols[i].id);
}

}  // namespace claa

#include "tokenizer/spm.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/usize.h"
#include "text/utf8.h"
#include "tokenizer/spaces.h"

namespace claa {
namespace {

constexpr uint32_t kNoSymbol = std::numeric_limits<uint32_t>::max();

// Order for std::push_heap, which keeps the greatest on top: the highest score, then the leftmost.
struct JoinedLater {
  bool operator()(const SpmModel::Scratch::Candidate& a, const SpmModel::Scratch::Candidate& b) const {
    return a.score != b.score ? a.score < b.score : a.left > b.left;
  }
};

// The byte that a token like "<0x41>" names; -1 for another spelling.
int named_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 ? byte : -1;
}

bool ends_with_space(std::string_view text) {
  return text.ends_with(kSpaceMark);
}

// The end of the word that begins at `begin`: before a space that follows something else.
size_t word_end(std::string_view text, size_t begin, const std::bitset<256>& joins_space) {
  for (size_t at = text.find(kSpaceMark, begin + 1); at != std::string_view::npos;
       at = text.find(kSpaceMark, at + 1)) {
    const bool inside = ends_with_space(text.substr(begin, at - begin)) ||
                        joins_space.test(static_cast<uint8_t>(text[at - 1]));
    if (!inside) return at;
  }
  return text.size();
}

}  // namespace

SpmModel::SpmModel(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                   const std::vector<bool>& is_byte, const std::vector<float>& scores, int32_t unknown,
                   const std::string& source)
    : tokens_(tokens),
      scores_(scores),
      source_(source),
      unknown_(unknown),
      by_text_(tokens.size()),
      mergeable_(tokens.size()),
      word_states_(std::make_unique<std::atomic<uint8_t>[]>(tokens.size())) {
  byte_ids_.fill(-1);
  index(roles, is_byte);
}

void SpmModel::index(const std::vector<TokenRole>& roles, const std::vector<bool>& is_byte) {
  bytes_.resize(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string& token = tokens_[i];
    if (!std::isfinite(scores_[i])) {
      fail(ErrorCode::kCorruptFile, "{}: the score of token {} is {}", source_, i, scores_[i]);
    }
    if (!by_text_.insert(tokens_, id)) {
      fail(ErrorCode::kCorruptFile, "{}: token {} repeats token {}", source_, i,
           by_text_.find(tokens_, token));
    }
    if (is_byte[i]) {
      const int byte = named_byte(token);
      if (byte < 0) {
        fail(ErrorCode::kCorruptFile, "{}: token {} has type 6 (byte) but is not spelled like <0x41>",
             source_, i);
      }
      byte_ids_[usize(byte)] = id;
      bytes_[i] = std::string(1, static_cast<char>(byte));
      continue;
    }
    bytes_[i] = roles[i] == TokenRole::kControl ? token : with_plain_spaces(token);
    if (roles[i] != TokenRole::kNormal) continue;
    mergeable_.insert(tokens_, id);
    for (size_t at = token.find(kSpaceMark, 1); at != std::string::npos;
         at = token.find(kSpaceMark, at + 1)) {
      if (!ends_with_space(std::string_view(token).substr(0, at)))
        joins_space_.set(static_cast<uint8_t>(token[at - 1]));
    }
  }
}

void SpmModel::encode(std::string_view text, std::vector<int32_t>& out, Scratch& scratch) const {
  std::string spelled = std::move(scratch.spelled);
  replace_all(text, " ", kSpaceMark, spelled);
  const std::string_view all = spelled;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = word_end(all, begin, joins_space_);
    encode_word(all.substr(begin, end - begin), out, scratch);
    begin = end;
  }
  scratch.spelled = std::move(spelled);
}

void SpmModel::encode_word(std::string_view word, std::vector<int32_t>& out, Scratch& scratch) const {
  const int32_t whole = mergeable_.find(tokens_, word);
  if (whole >= 0 && word_states_[usize(whole)].load(std::memory_order_relaxed) == kOneToken) {
    out.push_back(whole);
    return;
  }
  const size_t before = out.size();
  join(word, scratch);
  const std::vector<Scratch::Symbol>& symbols = scratch.symbols;
  for (uint32_t i = 0; i != kNoSymbol && i < symbols.size(); i = symbols[i].next)
    append(word.substr(symbols[i].begin, symbols[i].length), out);
  if (whole >= 0) {
    const bool one = out.size() == before + 1 && out.back() == whole;
    word_states_[usize(whole)].store(one ? kOneToken : kSeveralTokens, std::memory_order_relaxed);
  }
}

void SpmModel::join(std::string_view word, Scratch& scratch) const {
  split(word, scratch);
  std::vector<Scratch::Symbol>& symbols = scratch.symbols;
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) offer(word, i, scratch);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), JoinedLater{});
    const Scratch::Candidate best = scratch.heap.back();
    scratch.heap.pop_back();
    Scratch::Symbol& left = symbols[best.left];
    // Stale where either side was joined to something else since.
    if (left.length == 0 || left.next == kNoSymbol || left.length + symbols[left.next].length != best.length)
      continue;
    Scratch::Symbol& right = symbols[left.next];
    left.length = best.length;
    left.next = right.next;
    right.length = 0;
    if (left.next != kNoSymbol) {
      symbols[left.next].previous = best.left;
      offer(word, best.left, scratch);
    }
    if (left.previous != kNoSymbol) offer(word, left.previous, scratch);
  }
}

// Into characters.
void SpmModel::split(std::string_view word, Scratch& scratch) const {
  scratch.symbols.clear();
  scratch.heap.clear();
  for (uint32_t at = 0; at < word.size();) {
    const auto index = static_cast<uint32_t>(scratch.symbols.size());
    const auto length = static_cast<uint32_t>(next_utf8_unit(word.substr(at)).size);
    scratch.symbols.push_back({at, length, index + 1, index == 0 ? kNoSymbol : index - 1});
    at += length;
  }
  if (!scratch.symbols.empty()) scratch.symbols.back().next = kNoSymbol;
}

// Proposes to join a symbol and the next one, where they make a token.
void SpmModel::offer(std::string_view word, uint32_t left, Scratch& scratch) const {
  const Scratch::Symbol& symbol = scratch.symbols[left];
  if (symbol.next == kNoSymbol) return;
  const uint32_t length = symbol.length + scratch.symbols[symbol.next].length;
  const int32_t id = mergeable_.find(tokens_, word.substr(symbol.begin, length));
  if (id < 0) return;
  scratch.heap.push_back({scores_[usize(id)], left, length});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), JoinedLater{});
}

void SpmModel::append(std::string_view piece, std::vector<int32_t>& out) const {
  const int32_t id = mergeable_.find(tokens_, piece);
  if (id >= 0) {
    out.push_back(id);
    return;
  }
  for (const char c : piece) {
    const int32_t byte = byte_ids_[static_cast<uint8_t>(c)];
    if (byte >= 0 || unknown_ >= 0) out.push_back(byte >= 0 ? byte : unknown_);
  }
}

}  // namespace claa

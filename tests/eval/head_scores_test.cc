// The scores of heads: the file that keeps them, and what is computed from it.
#include "eval/calibration/head_scores.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/half.h"
#include "core/usize.h"
#include "eval/calibration/pooled_scores.h"
#include "eval/eval_support.h"

namespace claa::eval {
namespace {

TEST(HeadScores, HalvesAreTheNearest) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits));
    ASSERT_EQ(to_half(value), bits);
    if (bits + 1 == 0x7c00) break;
    const float next = half_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = (value + next) / 2;  // exact
    ASSERT_EQ(to_half(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(to_half(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(to_half(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(to_half(1e9f), 0x7bff);
  EXPECT_EQ(to_half(INFINITY), 0x7bff);
  EXPECT_EQ(to_half(NAN), 0);
  EXPECT_EQ(to_half(-1.0f), 0);
}

TEST(HeadScores, SurviveTheirFile) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "s.bin").string();
  HeadScoresWriter writer(2, 1, 5, {1, 3});
  const std::vector<float> wide[] = {{.25f, .5f, 3, 0}, {0, 1, 0, 0}};  // window 3: two tokens per head
  const std::vector<float> narrow[] = {{.25f, .25f, .5f, 0, 1, 0, 0, 0},
                                       {0, 0, 0, 1e-7f, .125f, .125f, .25f, 1e-4f}};
  for (int layer = 0; layer < 2; ++layer) {
    writer.add_layer(0, narrow[layer]);
    writer.add_layer(1, wide[layer]);
  }
  writer.write(path);
  const HeadScoresFile file(path);
  EXPECT_EQ(file.layers(), 2);
  EXPECT_EQ(file.heads(), 2);
  EXPECT_EQ(file.kv_heads(), 1);
  EXPECT_EQ(file.tokens(), 5);
  EXPECT_EQ(file.windows(), (std::vector<int64_t>{1, 3}));
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 2; ++head) {
      for (const size_t window : {0u, 1u}) {
        std::vector<float> row(window == 0 ? 4 : 2);
        file.read(window, layer, head, row);
        for (size_t t = 0; t < row.size(); ++t) {
          const float expected = (window == 0 ? narrow : wide)[layer][usize(head) * row.size() + t];
          EXPECT_NEAR(row[t], expected, expected / 2048) << window << " " << layer << " " << head << " " << t;
        }
      }
    }
  }
}

TEST(HeadScores, AreRefusedWhenDamaged) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "s.bin").string();
  HeadScoresWriter writer(1, 1, 7, {2});
  writer.add_layer(0, std::vector<float>{.2f, .2f, .2f, .2f, .2f});
  writer.write(path);
  const std::string whole = content_of(path);
  const auto damaged = [&](const std::string& bytes, const std::string& complaint) {
    std::ofstream(path, std::ios::binary) << bytes;
    expect_error(ErrorCode::kCorruptFile, complaint, [&] { const HeadScoresFile file(path); });
  };
  for (size_t length = 0; length < whole.size(); ++length)
    damaged(whole.substr(0, length), "no usable head scores");
  damaged(whole + "x", "announces");
  // Magic, version, layers, KV heads, windows, tokens, a window's size, the last score.
  for (const auto& [at, complaint] :
       std::vector<std::pair<size_t, std::string>>{{0, "CLAAHEAD"},
                                                   {8, "its version is 3"},
                                                   {14, "announces"},
                                                   {20, "announces"},
                                                   {24, "announces"},
                                                   {32, "announces"},
                                                   {48, "announces"},
                                                   {whole.size() - 1, "checksum"}}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] + 1);
    damaged(changed, complaint);
  }
  std::string old = whole;
  old[8] = 1;
  damaged(old, "its version is 1, this program reads 2; collect them again in another folder");
}

// Shares and the published rule by their definitions (spec.md 2.2), from scores with known sums.
TEST(PooledScores, AreWhatTheMethodsCompute) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "s.bin").string();
  constexpr int kAll = 4, kKv = 2;
  constexpr int64_t kPrompt = 14, kWindow = 4, kBefore = kPrompt - kWindow, kRanked = 8, kKernel = 3;
  std::mt19937_64 random(3);
  std::vector<std::vector<float>> layers(3, std::vector<float>(kAll * kBefore));
  for (std::vector<float>& layer : layers) {
    for (float& score : layer) score = static_cast<float>(random() % 1000) / 1000;
  }
  HeadScoresWriter writer(kAll, kKv, kPrompt, {2, kWindow});
  for (const std::vector<float>& layer : layers) {
    writer.add_layer(0, std::vector<float>(kAll * (kPrompt - 2), 9));
    writer.add_layer(1, layer);
  }
  writer.write(path);
  const PooledScores scores(HeadScoresFile(path), 1, kKernel, kRanked);
  EXPECT_EQ(scores.layers(), 3);
  EXPECT_EQ(scores.heads(), kAll);
  EXPECT_EQ(scores.tokens(), kRanked);
  const auto pooled = [&](int layer, int head, int64_t t) {
    double sum = 0;
    for (int64_t i = std::max<int64_t>(0, t - 1); i <= std::min(kBefore - 1, t + 1); ++i)
      sum += layers[usize(layer)][usize(head * kBefore + i)];
    return sum / kKernel;
  };
  for (int layer = 0; layer < 3; ++layer) {
    for (int head = 0; head < kAll; ++head) {
      double total = 0;
      for (int64_t t = 0; t < kBefore; ++t) total += pooled(layer, head, t);
      std::vector<float> base(kRanked, 1), sum(kRanked);
      scores.add_to(layer, head, base, sum);
      for (int64_t t = 0; t < kRanked; ++t)
        EXPECT_NEAR(sum[usize(t)], 1 + pooled(layer, head, t) / total * kBefore, 4e-3);
    }
    for (const int last_layers : {1, 2, 7}) {
      std::vector<float> rule(kRanked);
      scores.published_rule(layer, last_layers, rule);
      for (int64_t t = 0; t < kRanked; ++t) {
        double largest = 0;
        for (int l = std::max(0, layer - last_layers + 1); l <= layer; ++l)
          largest = std::max({largest, pooled(l, 0, t) + pooled(l, 1, t), pooled(l, 2, t) + pooled(l, 3, t)});
        EXPECT_NEAR(rule[usize(t)], largest, 1e-3) << layer << " " << last_layers;
      }
    }
  }
}

}  // namespace
}  // namespace claa::eval

/// Metrics and TensorBoard points: exact numbers, whole records, no duplicate after a resume.
#include "io/files/mapped_file.hpp"
#include "io/run/metrics.hpp"
#include "io/run/tensorboard.hpp"
#include "io/run/tfrecord.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

TEST(MetricsTest, ALineHasItsKeysInOrderAndShortestNumbers) {
  const metrics_record record{
      .phase = "ppo",
      .update = 8,
      .iteration = 2,
      .attempt = 1,
      .time = 1.5,
      .values = {{"policy/loss", 0.1}, {"kl/per_token_nats", std::numeric_limits<double>::quiet_NaN()}, {"a", 1e300}},
      .texts = {{"answer", "\"x\"\n"}}};
  EXPECT_EQ(metrics_line(record), R"({"phase":"ppo","update":8,"iteration":2,"attempt":1,"time":1.5,"policy/loss":0.1,)"
                                  R"("kl/per_token_nats":null,"a":1e+300,"answer":"\"x\"\n"})");
}

TEST(MetricsTest, APartialLastLineIsCutOnOpening) {
  const temporary_folder folder;
  metrics_writer(folder / "m").append({.phase = "sft", .update = 1});
  std::ofstream(folder / "m", std::ios::app) << "{\"phase\":";
  metrics_writer(folder / "m").append({.phase = "sft", .update = 2, .values = {{"x", NAN}}});
  const std::vector<metrics_record> records = read_metrics(folder / "m");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1].update, 2);
  EXPECT_TRUE(std::isnan(records[1].values[0].second));
  std::ofstream(folder / "m", std::ios::app) << "{}\n";
  expect_error(errc::bad_file, "line 3", [&] { read_metrics(folder / "m"); });
}

TEST(MetricsTest, ResumingDropsWhatLiesBeyondTheCheckpoint) {
  const temporary_folder folder;
  metrics_writer writer(folder / "m");
  writer.append({.phase = "sft", .update = 30});
  for (int64_t i = 1; i <= 4; ++i) {
    writer.append({.phase = "ppo", .update = 10 * i, .iteration = i});
  }
  writer.append({.phase = "dpo", .update = 1});
  const std::vector<std::string> later = {"dpo"};
  writer.truncate_after("ppo", 2, later);
  writer.append({.phase = "ppo", .update = 30, .iteration = 3});
  std::vector<int64_t> counters;
  for (const metrics_record& record : read_metrics(folder / "m")) {
    counters.push_back(record.counter());
  }
  EXPECT_EQ(counters, (std::vector<int64_t>{30, 1, 2, 3}));
}

/// CRC-32C bit by bit, straight from the definition.
uint32_t slow_crc(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1U)));
    }
  }
  return ~crc;
}

/// Records of an event file, decoded without the code under test.
std::vector<std::string> records_of(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t size = 0;
    uint32_t crc = 0;
    std::memcpy(&size, bytes.data() + at, 8);
    const std::string data = bytes.substr(at + 12, size);
    std::memcpy(&crc, bytes.data() + at + 12 + size, 4);
    const uint32_t plain = slow_crc(data);
    EXPECT_EQ(crc, ((plain >> 15) | (plain << 17)) + 0xa282ead8U);
    records.push_back(data);
    at += 16 + size;
  }
  return records;
}

fs::path event_file(const fs::path& root, const char* phase) { return fs::directory_iterator(root / phase)->path(); }

TEST(TensorboardTest, TheChecksumIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);  // RFC 3720, appendix B.4 has the same polynomial
}

TEST(TensorboardTest, AScalarIsEncodedAsTheMessagesSay) {
  const temporary_folder folder;
  const std::vector<std::pair<std::string, double>> values = {{"a/b", 0.5}};
  tensorboard_writer(folder.path()).add_scalars("sft", 300, 2.0, values);
  const std::vector<std::string> records = records_of(read_text_file(event_file(folder.path(), "sft")));
  ASSERT_EQ(records.size(), 2U);
  const std::string time("\x09\0\0\0\0\0\0\0\x40", 9);  // field 1, double 2.0
  EXPECT_EQ(records[0], time + "\x1a\x0d"
                               "brain.Event:2");
  const std::string value("\x0a\x03"
                          "a/b"
                          "\x15\0\0\0\x3f",
                          10);
  EXPECT_EQ(records[1], time + "\x10\xac\x02" + "\x2a\x0c" + "\x0a\x0a" + value);
}

/// A scalar tensor of type DT_STRING with metadata that name the plugin "text": TensorBoard's own shape for Markdown.
TEST(TensorboardTest, ATextIsOneOfTheTextPlugin) {
  const temporary_folder folder;
  tensorboard_writer(folder.path()).add_text("ppo", 1, 2.0, "rollout", "*once*");
  const std::vector<std::string> records = records_of(read_text_file(event_file(folder.path(), "ppo")));
  ASSERT_EQ(records.size(), 2U);
  const std::string time("\x09\0\0\0\0\0\0\0\x40", 9);
  const std::string tensor("\x08\x07\x12\x00\x42\x06*once*", 12);
  const std::string metadata = "\x0a\x06\x0a\x04text\x20\x02";
  const std::string value = "\x0a\x07rollout\x42\x0c" + tensor + "\x4a\x0a" + metadata;
  EXPECT_EQ(records[1], time + "\x10\x01" + "\x2a\x25" + "\x0a\x23" + value);
}

TEST(TensorboardTest, ResumingDropsPointsBeyondTheCheckpointAndDamagedOnes) {
  const temporary_folder folder;
  const std::vector<std::pair<std::string, double>> values = {{"loss", 1}};
  {
    tensorboard_writer writer(folder.path());
    for (int64_t step = 1; step <= 4; ++step) {
      writer.add_scalars("ppo", step, 1.0, values);
      writer.add_text("ppo", step, 1.0, "rollout", "*once*");
    }
    writer.add_scalars("dpo", 1, 1.0, values);
  }
  const fs::path path = event_file(folder.path(), "ppo");
  fs::resize_file(path, fs::file_size(path) - 3);
  tensorboard_writer writer(folder.path());
  const std::vector<std::string> later = {"dpo"};
  writer.truncate_after("ppo", 2, later);
  EXPECT_EQ(records_of(read_text_file(path)).size(), 1U + 4U);
  EXPECT_FALSE(fs::exists(folder / "dpo"));
  std::ofstream(path, std::ios::app) << "half a record";
  writer.add_scalars("ppo", 3, 1.0, values);
  EXPECT_EQ(records_of(read_text_file(path)).size(), 1U + 5U);
  expect_error(errc::bad_argument, "cannot name", [&] { writer.add_scalars("../x", 1, 1.0, values); });
}

}  // namespace
}  // namespace troupe::io

#include "support/model_fixture.hpp"

#include "engine/models/weights.hpp"
#include "kernels/matrix.hpp"
#include "support/test_data.hpp"

#include <algorithm>

namespace troupe::test {

loaded_model load_model(const std::string& path, bool scalar_head) {
  io::model_folder folder = io::model_folder::open(test_data() + "/" + path);
  engine::model_description description = engine::describe(folder.config());
  description.scalar_head = scalar_head;
  engine::transformer net(description);
  aligned_buffer<float> weights(net.layout().arena_size());
  std::vector<std::string> names = folder.tensor_names();
  if (!scalar_head) {  // some folders hold a v_head beside the language model
    std::erase(names, "v_head.weight");
  }
  engine::load_weights(net, names, folder.finder(), weights.data());
  return {.folder = std::move(folder), .net = std::move(net), .weights = std::move(weights)};
}

packed_rows pack(const fixture& file, const std::string& prefix) {
  const std::vector<int64_t> ids = file.integers(prefix + "input_ids");
  const bool masked = file.has(prefix + "attention_mask");
  const std::vector<int64_t> mask =
      masked ? file.integers(prefix + "attention_mask") : std::vector<int64_t>(ids.size(), 1);
  packed_rows rows;
  rows.columns = file.shape(prefix + "input_ids")[1];
  rows.offset_B1 = {0};
  for (size_t i = 0; i < ids.size(); ++i) {
    if (mask[i] != 0) {
      rows.token_N.push_back(static_cast<int32_t>(ids[i]));
      rows.source_N.push_back(static_cast<int64_t>(i));
    }
    if ((static_cast<int64_t>(i) + 1) % rows.columns == 0) {
      rows.offset_B1.push_back(static_cast<int64_t>(rows.token_N.size()));
    }
  }
  return rows;
}

std::vector<float> logits_of(context& ctx, const engine::inference_model& net, const float* weights,
                             const float* hidden_ND, int64_t n) {
  const engine::model_description& d = net.description();
  const int64_t outputs = d.scalar_head ? 1 : d.vocabulary;
  std::vector<float> logits(static_cast<size_t>(n * outputs));
  kernels::linear_forward(ctx, {.y_NO = logits.data(),
                                .x_NI = hidden_ND,
                                .weight = net.head(weights),
                                .n = n,
                                .outputs = outputs,
                                .inputs = d.embedding_width});
  return logits;
}

std::vector<float> hidden_of(context& ctx, const engine::inference_model& net, const float* weights,
                             const engine::token_batch& batch) {
  std::vector<float> hidden(static_cast<size_t>(batch.tokens() * net.description().embedding_width));
  net.forward(ctx, weights, batch, hidden.data());
  return hidden;
}

test_cache::test_cache(const engine::model_description& d, int64_t pages) {
  const kernels::attention_shape shape{.heads = d.heads, .kv_heads = d.kv_heads, .head_width = d.head_width};
  for (int64_t layer = 0; layer < d.layers; ++layer) {
    const int64_t floats_each = pages * kernels::kv_pages{}.page_floats(shape);
    storage_.emplace_back(2 * floats_each);
    pages_L_.push_back({.keys = storage_.back().data(), .values = storage_.back().data() + floats_each});
  }
  for (int64_t page = 0; page < pages; ++page) {  // 0, 2, 4, ... then 1, 3, 5, ...
    free_.push_back(static_cast<int32_t>(page));
  }
  std::stable_partition(free_.begin(), free_.end(), [](int32_t page) { return page % 2 != 0; });
}

void test_cache::grow(int64_t sequence, int64_t rows) {
  if (sequence >= static_cast<int64_t>(sequences_.size())) {
    sequences_.resize(static_cast<size_t>(sequence) + 1);
  }
  sequence_state& s = sequences_[static_cast<size_t>(sequence)];
  const int64_t first = s.length;
  s.length += rows;
  while (static_cast<int64_t>(s.page_table.size()) * kernels::attention_tile < s.length) {
    s.page_table.push_back(free_.back());
    free_.pop_back();
  }
  call_.add(s.page_table, rows, first);
}

}  // namespace troupe::test

/// The models of tests/data, and the reference values beside them.
#pragma once

#include "base/aligned.hpp"
#include "engine/models/page_tables.hpp"
#include "engine/models/transformer.hpp"
#include "io/weights/model_folder.hpp"
#include "support/fixture.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

/// A folder's model with its weights in an arena.
struct loaded_model {
  io::model_folder folder;
  engine::transformer net;
  aligned_buffer<float> weights;

  const engine::model_description& description() const { return net.description(); }
};

/// tests/data/<path>. With `scalar_head` the folder's v_head.safetensors takes the place of the
/// head.
loaded_model load_model(const std::string& path, bool scalar_head = false);

/// Padded rows [B, T] as packed sequences. source_N is each packed token's place in [B, T].
struct packed_rows {
  std::vector<int32_t> token_N;
  std::vector<int64_t> offset_B1;
  std::vector<int64_t> source_N;
  int64_t columns = 0;

  engine::token_batch batch() const { return {.token_N = token_N, .offset_B1 = offset_B1, .position_N = {}}; }
};

/// `prefix` is "plain.", "rpad.", "lpad." or "gen."; without an attention mask every token counts.
packed_rows pack(const fixture& file, const std::string& prefix);

/// Logits of every row, [N, V], by the head of `net`.
std::vector<float> logits_of(context& ctx, const engine::inference_model& net, const float* weights,
                             const float* hidden_ND, int64_t n);

std::vector<float> hidden_of(context& ctx, const engine::inference_model& net, const float* weights,
                             const engine::token_batch& batch);

/// A cache of one set of pages per layer, from which sequences take pages as they grow.
class test_cache {
public:
  test_cache(const engine::model_description& description, int64_t pages);

  void begin_call() { call_.clear(); }
  /// The call's next `rows` rows are the sequence's; the pages are taken in an order that is not the sequence's own.
  void grow(int64_t sequence, int64_t rows);
  kernels::page_map where() { return call_.map(); }
  std::span<const kernels::kv_pages> pages() const { return pages_L_; }

private:
  struct sequence_state {
    std::vector<int32_t> page_table;
    int64_t length = 0;
  };
  std::vector<aligned_buffer<float>> storage_;
  std::vector<kernels::kv_pages> pages_L_;
  std::vector<sequence_state> sequences_;
  std::vector<int32_t> free_;
  engine::page_tables call_;
};

}  // namespace troupe::test

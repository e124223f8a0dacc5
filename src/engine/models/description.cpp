#include "engine/models/description.hpp"

#include "base/error.hpp"
#include "engine/models/config_values.hpp"
#include "engine/models/family.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace troupe::engine {

namespace {

/// What the rest of the engine relies on.
void check_extents(const model_description& d) {
  constexpr int64_t most_layers = int64_t{1} << 14;
  const std::array<std::pair<const char*, int64_t>, 9> extents{{
      {"vocabulary", d.vocabulary},
      {"width", d.width},
      {"layer count", d.layers},
      {"head count", d.heads},
      {"key/value head count", d.kv_heads},
      {"head width", d.head_width},
      {"feed-forward width", d.feed_forward},
      {"position count", d.max_positions},
      {"embedding width", d.embedding_width},
  }};
  for (const auto& [what, value] : extents) {
    if (value <= 0 || value > largest_extent) {
      throw error(errc::bad_file, "config.json: a {} of {} is not between 1 and {}", what, value, largest_extent);
    }
  }
  if (d.heads * d.head_width > largest_extent) {
    throw error(errc::bad_file, "config.json: {} heads of width {} are wider than {}", d.heads, d.head_width,
                largest_extent);
  }
  if (d.layers > most_layers) {
    throw error(errc::bad_file, "config.json: {} layers are more than {}", d.layers, most_layers);
  }
  if (d.heads % d.kv_heads != 0) {
    throw error(errc::bad_file, "config.json: {} heads do not divide among {} key/value heads", d.heads, d.kv_heads);
  }
  if (d.position == position_kind::rotary &&
      (d.rotary.rotated <= 0 || d.rotary.rotated % 2 != 0 || d.rotary.rotated > d.head_width)) {
    throw error(errc::bad_file, "config.json: {} rotary dimensions of a head of {} are not an even number above 0",
                d.rotary.rotated, d.head_width);
  }
  if (d.position == position_kind::rotary && !(d.rotary.theta > 0)) {
    throw error(errc::bad_file, "config.json: rope_theta = {} is not positive", d.rotary.theta);
  }
  if (!(d.norm_epsilon > 0)) {
    throw error(errc::bad_file, "config.json: a norm epsilon of {} is not positive", d.norm_epsilon);
  }
}

bool is_sequence_classification(const key_map& config) {
  for (const std::string_view key : {"architectures.0", "architectures"}) {
    if (const auto found = config.find(key); found != config.end()) {
      const auto* text = std::get_if<std::string>(&found->second);
      if (text != nullptr && text->ends_with("ForSequenceClassification")) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

model_description describe(const key_map& config) {
  const model_family& family = find_family(require_text(config, "model_type"));
  model_description d = family.describe(config);
  d.family = &family;
  d.vocabulary = require_extent(config, "vocab_size");
  d.scalar_head = is_sequence_classification(config);
  if (d.scalar_head) {
    const int64_t labels = get_int(config, "num_labels", has(config, "id2label.1") ? 2 : 1);
    refuse_unless(labels == 1, "num_labels", fmt::format("{}", labels), "a scalar head has one label");
  }
  check_extents(d);
  return d;
}

}  // namespace troupe::engine

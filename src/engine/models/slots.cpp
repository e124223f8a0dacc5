#include "engine/models/slots.hpp"

#include <fmt/format.h>

#include <string>

namespace troupe::engine {

namespace {

linear_slot add_linear(parameter_layout& layout, const std::string& name, int64_t outputs, int64_t inputs, bool bias) {
  linear_slot slot{.outputs = outputs, .inputs = inputs};
  slot.weight = layout[layout.add_matrix(name + ".weight", outputs, inputs)].offset;
  if (bias) {
    slot.bias = layout[layout.add_vector(name + ".bias", outputs)].offset;
  }
  return slot;
}

norm_slot add_norm(parameter_layout& layout, const std::string& name, int64_t width, norm_kind kind) {
  norm_slot slot;
  slot.gamma = layout[layout.add_vector(name + ".weight", width)].offset;
  if (kind == norm_kind::layer) {
    slot.beta = layout[layout.add_vector(name + ".bias", width)].offset;
  }
  return slot;
}

table_slot add_table(parameter_layout& layout, const std::string& name, int64_t rows, int64_t width) {
  return {.weight = layout[layout.add_matrix(name + ".weight", rows, width)].offset, .rows = rows, .width = width};
}

block_slots add_block(parameter_layout& layout, const model_description& d, const column_split* columns,
                      int64_t layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  const int64_t query_width = columns != nullptr ? columns->query_R1.back() : d.heads * d.head_width;
  const int64_t units = columns != nullptr ? columns->unit_R1.back() : d.feed_forward;
  const int64_t width = columns != nullptr ? columns->columns.size() : d.width;
  const int64_t qkv_width = (d.heads + 2 * d.kv_heads) * d.head_width;
  const char* up = d.gated ? "feed_forward.gate_up" : "feed_forward.up";
  const int64_t up_width = d.gated ? 2 * d.feed_forward : d.feed_forward;
  block_slots block;
  block.attention_norm = add_norm(layout, prefix + "attention_norm", d.width, d.norm);
  block.qkv = add_linear(layout, prefix + "attention.qkv", qkv_width, d.width, d.qkv_bias);
  block.out = add_linear(layout, prefix + "attention.out", width, query_width, d.attention_out_bias);
  block.feed_forward_norm = add_norm(layout, prefix + "feed_forward_norm", d.width, d.norm);
  block.up = add_linear(layout, prefix + up, up_width, d.width, d.feed_forward_bias);
  block.down = add_linear(layout, prefix + "feed_forward.down", width, units, d.feed_forward_bias);
  return block;
}

}  // namespace

model_slots lay_out(const model_description& d, parameter_layout& layout, const column_split* columns) {
  model_slots slots;
  const int64_t tokens = columns != nullptr ? columns->tokens.size() : d.vocabulary;
  slots.token_table = add_table(layout, "embedding.token", tokens, d.embedding_width);
  if (d.position == position_kind::learned) {
    slots.position_table = add_table(layout, "embedding.position", d.max_positions + d.position_offset, d.width);
  }
  if (d.embedding_norm) {
    slots.embedding_norm = add_norm(layout, "embedding.norm", d.width, d.norm);
  }
  if (d.embedding_width != d.width) {
    slots.project_in = add_linear(layout, "embedding.project_in", d.width, d.embedding_width, false);
  }
  for (int64_t layer = 0; layer < d.layers; ++layer) {
    slots.blocks.push_back(add_block(layout, d, columns, layer));
  }
  if (d.final_norm) {
    slots.final_norm = add_norm(layout, "final_norm", d.width, d.norm);
  }
  if (d.embedding_width != d.width) {
    slots.project_out = add_linear(layout, "project_out", d.embedding_width, d.width, false);
  }
  if (d.scalar_head) {
    slots.head = add_linear(layout, "score", 1, d.embedding_width, false);
  } else if (d.tied_head) {
    slots.head = {.weight = slots.token_table.weight, .outputs = tokens, .inputs = d.embedding_width};
  } else {
    slots.head = add_linear(layout, "head", tokens, d.embedding_width, false);
  }
  return slots;
}

std::vector<arena_range> segments_of(const model_slots& slots, const parameter_layout& layout) {
  std::vector<arena_range> found = {{0, slots.blocks.front().attention_norm.gamma}};
  for (size_t layer = 1; layer < slots.blocks.size(); ++layer) {
    found.push_back({found.back().last, slots.blocks[layer].attention_norm.gamma});
  }
  int64_t end = layout.arena_size();  // the first parameter behind the last one of a block
  for (auto p = layout.all().rbegin(); p != layout.all().rend() && !p->name.starts_with("layers."); ++p) {
    end = p->offset;
  }
  found.push_back({found.back().last, end});
  found.push_back({end, layout.arena_size()});
  return found;
}

}  // namespace troupe::engine

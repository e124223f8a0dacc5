#include "engine/models/slots.hpp"

#include <fmt/format.h>

#include <string>

namespace troupe::engine {

namespace {

linear_slot add_linear(parameter_layout& layout, const std::string& name, row_axis rows, int64_t outputs,
                       int64_t inputs, bool bias = false, parameter_kind kind = parameter_kind::linear_weight) {
  linear_slot slot{.outputs = outputs, .inputs = inputs};
  slot.weight = layout[layout.add_matrix(name + ".weight", outputs, inputs, {kind, rows})].offset;
  if (bias) {
    slot.bias = layout[layout.add_vector(name + ".bias", outputs, {parameter_kind::bias, rows})].offset;
  }
  return slot;
}

norm_slot add_norm(parameter_layout& layout, const std::string& name, int64_t width, norm_kind kind) {
  norm_slot slot;
  slot.gamma = layout[layout.add_vector(name + ".weight", width, {.kind = parameter_kind::norm_scale})].offset;
  if (kind == norm_kind::layer) {
    slot.beta = layout[layout.add_vector(name + ".bias", width, {.kind = parameter_kind::bias})].offset;
  }
  return slot;
}

table_slot add_table(parameter_layout& layout, const std::string& name, parameter_role role, int64_t rows,
                     int64_t width) {
  return {
      .weight = layout[layout.add_matrix(name + ".weight", rows, width, role)].offset, .rows = rows, .width = width};
}

block_slots add_block(parameter_layout& layout, const model_description& d, const model_share& share, int64_t layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  const int64_t qkv_width = (share.heads.size() + 2 * share.kv_heads.size()) * d.head_width;
  const int64_t columns = share.columns.size();
  const int64_t units = share.units.size();
  block_slots block;
  block.attention_norm = add_norm(layout, prefix + "attention_norm", d.width, d.norm);
  block.qkv = add_linear(layout, prefix + "attention.qkv", row_axis::heads, qkv_width, d.width, d.qkv_bias);
  block.out = add_linear(layout, prefix + "attention.out", row_axis::columns, columns, d.heads * d.head_width,
                         d.attention_out_bias);
  block.feed_forward_norm = add_norm(layout, prefix + "feed_forward_norm", d.width, d.norm);
  block.up = d.gated
                 ? add_linear(layout, prefix + "feed_forward.gate_up", row_axis::gate_up_units, 2 * units, d.width,
                              d.feed_forward_bias)
                 : add_linear(layout, prefix + "feed_forward.up", row_axis::units, units, d.width, d.feed_forward_bias);
  block.down =
      add_linear(layout, prefix + "feed_forward.down", row_axis::columns, columns, d.feed_forward, d.feed_forward_bias);
  return block;
}

void add_embeddings(parameter_layout& layout, const model_description& d, const model_share& share,
                    model_slots& slots) {
  slots.token_table = add_table(layout, "embedding.token", {parameter_kind::token_table, row_axis::tokens},
                                share.tokens.size(), d.embedding_width);
  if (d.position == position_kind::learned) {
    slots.position_table = add_table(layout, "embedding.position", {.kind = parameter_kind::position_table},
                                     d.max_positions + d.position_offset, d.width);
  }
  if (d.embedding_norm) {
    slots.embedding_norm = add_norm(layout, "embedding.norm", d.width, d.norm);
  }
  if (d.embedding_width != d.width) {
    slots.project_in = add_linear(layout, "embedding.project_in", row_axis::undivided, d.width, d.embedding_width);
  }
}

void add_ends(parameter_layout& layout, const model_description& d, const model_share& share, model_slots& slots) {
  if (d.final_norm) {
    slots.final_norm = add_norm(layout, "final_norm", d.width, d.norm);
  }
  if (d.embedding_width != d.width) {
    slots.project_out = add_linear(layout, "project_out", row_axis::undivided, d.embedding_width, d.width);
  }
  if (d.scalar_head) {
    slots.head =
        add_linear(layout, "score", row_axis::undivided, 1, d.embedding_width, false, parameter_kind::scalar_head);
  } else if (d.tied_head) {
    slots.head = {.weight = slots.token_table.weight, .outputs = share.tokens.size(), .inputs = d.embedding_width};
  } else {
    slots.head = add_linear(layout, "head", row_axis::tokens, share.tokens.size(), d.embedding_width);
  }
}

}  // namespace

model_slots lay_out(const model_description& whole, const model_share& share, parameter_layout& layout) {
  model_slots slots;
  add_embeddings(layout, whole, share, slots);
  for (int64_t layer = 0; layer < whole.layers; ++layer) {
    layout.begin_segment();
    slots.blocks.push_back(add_block(layout, whole, share, layer));
  }
  layout.begin_segment();
  add_ends(layout, whole, share, slots);
  return slots;
}

model_slots lay_out(const model_description& whole, parameter_layout& layout) {
  return lay_out(whole, all_of(whole), layout);
}

}  // namespace troupe::engine

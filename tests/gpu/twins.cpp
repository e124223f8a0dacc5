// Every operation of the card against the host's.
#include <fmt/format.h>

#include "gpu/comparison.hpp"
#include <cstddef>
#include <cstring>

namespace troupe::gpu_check {

namespace {

/// A member of kernels::device_ops.
struct operation {
  const char* name;
  size_t place;
};

#define TROUPE_OPERATION(name)                                                                                         \
  { #name, offsetof(kernels::device_ops, name) }
constexpr operation all_operations[] = {
    TROUPE_OPERATION(activation_forward),
    TROUPE_OPERATION(activation_backward),
    TROUPE_OPERATION(gated_activation_forward),
    TROUPE_OPERATION(gated_activation_backward),
    TROUPE_OPERATION(add_in_place),
    TROUPE_OPERATION(attention_forward),
    TROUPE_OPERATION(attention_backward),
    TROUPE_OPERATION(paged_attention_forward),
    TROUPE_OPERATION(embedding_forward),
    TROUPE_OPERATION(embedding_backward),
    TROUPE_OPERATION(join_pieces),
    TROUPE_OPERATION(linear_forward),
    TROUPE_OPERATION(linear_backward_input),
    TROUPE_OPERATION(linear_backward_weight),
    TROUPE_OPERATION(log_prob_forward),
    TROUPE_OPERATION(log_prob_train),
    TROUPE_OPERATION(layer_norm_forward),
    TROUPE_OPERATION(rms_norm_forward),
    TROUPE_OPERATION(layer_norm_backward),
    TROUPE_OPERATION(rms_norm_backward),
    TROUPE_OPERATION(adamw_update),
    TROUPE_OPERATION(sum_of_squares),
    TROUPE_OPERATION(sums_of_squares),
    TROUPE_OPERATION(fold_average),
    TROUPE_OPERATION(rotary_forward),
    TROUPE_OPERATION(rotary_backward),
    TROUPE_OPERATION(copy_rows),
    TROUPE_OPERATION(gather_rows),
    TROUPE_OPERATION(scatter_rows),
    TROUPE_OPERATION(zero),
    TROUPE_OPERATION(sample_rows),
    TROUPE_OPERATION(feed_tokens),
};
#undef TROUPE_OPERATION

/// What of the card's table cannot be compared: it has members that the list above lacks, or has no function there.
std::string gaps(const kernels::device_ops& ops) {
  using function = void (*)();
  std::string text;
  constexpr size_t members = sizeof(kernels::device_ops) / sizeof(function);
  std::set<size_t> places;
  for (const operation& each : all_operations) {
    places.insert(each.place);
    function there = nullptr;
    std::memcpy(&there, reinterpret_cast<const std::byte*>(&ops) + each.place, sizeof(there));
    if (there == nullptr) {
      text += fmt::format("{} is not in this module; ", each.name);
    }
  }
  if (places.size() != members) {
    text += fmt::format("device_ops has {} operations, of which tests/gpu/twins.cpp names {}: add the others and "
                        "their comparisons; ",
                        members, places.size());
  }
  return text;
}

}  // namespace

outcome twins(subject& of) {
  outcome found;
  found.text = gaps(of.card.ops());
  if (!found.text.empty()) {
    found.good = false;
    return found;
  }
  std::set<std::string> compared;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    comparison all(of, type);
    compare_elements(all);
    compare_products(all);
    compare_attention(all);
    compared.insert(all.compared.begin(), all.compared.end());
    found.text += all.faults;
    found.figures.push_back({fmt::format("worst_error_{}", to_string(type)), all.worst});
  }
  for (const operation& each : all_operations) {
    if (compared.count(each.name) == 0) {
      found.text += fmt::format("{} has no comparison; ", each.name);
    }
  }
  found.good = found.text.empty();
  found.text += fmt::format("{} operations against the host's in f32 and bf16, worst errors {:.2g} and {:.2g}",
                            compared.size(), found.figures[0].value, found.figures[1].value);
  found.figures.push_back({"operations", static_cast<double>(compared.size())});
  return found;
}

}  // namespace troupe::gpu_check

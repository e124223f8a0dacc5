/// The norm that some models (Qwen3) put on each query and key head, before they turn.
#pragma once

#include "engine/models/block.hpp"

namespace troupe::engine {

/// Norms the heads of queries and keys within the rows of qkv_NE; nothing where the slots are absent.
void norm_heads(const block_call& call, const block_slots& slots, reals qkv_NE);

/// dqkv_NE holds the gradient of normed queries and keys on entry, that of the projection's own result on return, which
/// is computed anew from its input in_ND: the forward keeps what became of it only.
void norm_heads_backward(const block_call& call, const block_slots& slots, const_reals in_ND, reals dqkv_NE,
                         float* gradients);

}  // namespace troupe::engine

/// tokenizer.json and tokenizer_config.json from the tokenizer.ggml.* keys of a GGUF file.
#pragma once

#include "io/weights/gguf.hpp"

#include <map>
#include <string>

namespace troupe::io {

/// File name to text. Byte-level BPE only (tokenizer.ggml.model "gpt2"), pre-tokenised as
/// tokenizer.ggml.pre says:
///   smollm                           every digit apart, then GPT-2's pattern
///   gpt-2, gpt2, default, or absent  GPT-2's pattern
///   llama-bpe, llama3, llama-v3      Llama 3's pattern (runs of up to 3 digits); a whole token needs no merges
///   qwen2                            NFC, Llama 3's pattern with single digits
/// Errors  unsupported (another model or pre), not_found, bad_file.
std::map<std::string, std::string> tokenizer_files_of(const gguf_file& file);

}  // namespace troupe::io

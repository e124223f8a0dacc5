#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/array_types.hpp"
#include "io/weights/convert.hpp"
#include "io/weights/gguf_model.hpp"
#include "io/weights/gguf_tokenizer.hpp"
#include "io/weights/model_folder.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace troupe::io {
namespace {

using namespace std::string_literals;
using test::byte_vector;
using test::expect_error;
using test::temporary_folder;

const std::string formats = test_data() + "/formats/";

imported_model import_bytes(const byte_vector& bytes) {
  return import_gguf(std::make_shared<gguf_file>(gguf_file::parse(bytes, nullptr, "f")));
}

/// `bytes` with `from` overwritten by `to`, of the same length, wherever it occurs.
byte_vector changed_in(byte_vector bytes, std::string_view from, std::string_view to) {
  const byte_vector pattern = test::to_bytes(from);
  EXPECT_EQ(from.size(), to.size());
  int count = 0;
  for (auto at = bytes.begin();; ++at, ++count) {
    at = std::search(at, bytes.end(), pattern.begin(), pattern.end());
    if (at == bytes.end()) {
      break;
    }
    std::memcpy(&*at, to.data(), to.size());
  }
  EXPECT_GT(count, 0) << from;
  return bytes;
}

/// The fixture, changed so.
byte_vector changed(std::string_view from, std::string_view to) {
  return changed_in(test::read_bytes(formats + "llama.gguf"), from, to);
}

/// A key and its 32-bit value as the file holds them.
std::string with_value(const std::string& key, char value) {
  return key + std::string("\4\0\0\0", 4) + value + std::string(3, '\0');
}

TEST(GgufModelTest, NamesUnpermutesAndDequantisesEveryTensor) {
  const temporary_folder folder;
  const auto report = convert_model(formats + "llama.gguf", folder / "model", dtype::f32);
  const auto model = model_folder::open(folder / "model");
  const auto expected = safetensors_file::open(formats + "llama_expected.safetensors");
  EXPECT_EQ(report.tensors, static_cast<int64_t>(expected.names().size()));
  EXPECT_EQ(model.tensor_names().size(), expected.names().size());
  for (const std::string& name : expected.names()) {
    const auto got = model.find(name);
    ASSERT_TRUE(got.has_value()) << name;
    EXPECT_EQ(got->shape, expected.find(name)->shape) << name;
    EXPECT_EQ(to_float32(*got), to_float32(*expected.find(name))) << name;
  }
}

TEST(GgufModelTest, WritesTheConfiguration) {
  const auto model = import_bytes(test::read_bytes(formats + "llama.gguf"));
  const key_map keys = parse_json_keys(model.config_json, "config.json");
  EXPECT_EQ(require_text(keys, "architectures.0"), "LlamaForCausalLM");
  EXPECT_EQ(require_text(keys, "model_type"), "llama");
  EXPECT_EQ(require_int(keys, "vocab_size"), 263);
  EXPECT_EQ(require_int(keys, "hidden_size"), 32);
  EXPECT_EQ(require_int(keys, "intermediate_size"), 64);
  EXPECT_EQ(require_int(keys, "num_hidden_layers"), 2);
  EXPECT_EQ(require_int(keys, "num_attention_heads"), 4);
  EXPECT_EQ(require_int(keys, "num_key_value_heads"), 2);
  EXPECT_EQ(require_int(keys, "head_dim"), 8);
  EXPECT_EQ(require_int(keys, "max_position_embeddings"), 128);
  EXPECT_EQ(get_double(keys, "rope_theta", 0), 100000.0);
  EXPECT_EQ(get_double(keys, "rms_norm_eps", 0), 1e-5);  // not the float's 9.99999974e-06
  EXPECT_TRUE(get_bool(keys, "tie_word_embeddings", false));
  EXPECT_EQ(require_int(keys, "bos_token_id"), 1);
  EXPECT_EQ(require_int(keys, "eos_token_id"), 2);
  EXPECT_EQ(require_int(keys, "pad_token_id"), 2);
  EXPECT_FALSE(keys.contains("rope_scaling.rope_type"));
  EXPECT_EQ(require_int(parse_json_keys(model.generation_config_json, "g"), "eos_token_id"), 2);
}

TEST(GgufModelTest, WritesATokenizerInTheFormOfThePublishedOne) {
  const auto model = import_bytes(test::read_bytes(formats + "llama.gguf"));
  const auto got = parse_json(model.tokenizer_files.at("tokenizer.json"), "tokenizer.json");
  const std::string path = test_data() + "/tokenizers/smollm2/tokenizer.json";
  auto published = parse_json(read_text_file(path), path);
  for (const auto& [key, value] : published.items()) {
    if (key != "added_tokens" && key != "model") {
      EXPECT_EQ(got.at(key), value) << key;
    }
  }
  for (const auto& [key, value] : published["model"].items()) {
    if (key != "vocab" && key != "merges") {
      EXPECT_EQ(got["model"].at(key), value) << key;
    }
  }
  EXPECT_EQ(got["added_tokens"].size(), 4U);
  EXPECT_EQ(got["added_tokens"][0], published["added_tokens"][0]);
  EXPECT_EQ(got["added_tokens"][3]["content"], "<tool>");
  EXPECT_EQ(got["added_tokens"][3]["special"], false);
  EXPECT_EQ(got["model"]["vocab"].size(), 263U);
  EXPECT_EQ(got["model"]["vocab"]["Ġthe"], 261);
  EXPECT_EQ(got["model"]["merges"], parse_json(R"([["Ġ", "t"], ["h", "e"], ["Ġt", "he"]])", "expected"));
  const auto config = parse_json(model.tokenizer_files.at("tokenizer_config.json"), "tokenizer_config.json");
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_EQ(config["bos_token"], "<|im_start|>");
  EXPECT_EQ(config["eos_token"], "<|im_end|>");
  EXPECT_EQ(config["unk_token"], "<|endoftext|>");
  EXPECT_EQ(config["add_bos_token"], false);
}

TEST(GgufModelTest, KnowsTheOtherPreTokenizers) {
  const auto pre_tokenizer = [](std::string_view pre) {
    return parse_json(import_bytes(changed("smollm", pre)).tokenizer_files.at("tokenizer.json"), "t");
  };
  const auto llama3 = pre_tokenizer("llama3");
  EXPECT_EQ(llama3["pre_tokenizer"]["pretokenizers"][0]["type"], "Split");
  EXPECT_NE(llama3["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].get<std::string>().find("\\p{N}{1,3}"),
            std::string::npos);
  EXPECT_EQ(llama3["model"]["ignore_merges"], true);
  expect_error(errc::unsupported, "tokenizer.ggml.pre is \"strang\"", [&] { pre_tokenizer("strang"); });
}

/// The post-processor of tokenizer.json and the two keys of tokenizer_config.json say the same.
std::string frame_of(const byte_vector& bytes) {
  const auto model = import_bytes(bytes);
  const auto post = parse_json(model.tokenizer_files.at("tokenizer.json"), "t").at("post_processor");
  const auto config = parse_json(model.tokenizer_files.at("tokenizer_config.json"), "c");
  std::string frame;
  for (const auto& step : post.is_null() ? nlohmann::json::array() : post.at("single")) {
    frame += step.contains("Sequence") ? "text " : step.at("SpecialToken").at("id").get<std::string>() + " ";
  }
  EXPECT_EQ(config.at("add_bos_token"), frame.starts_with("<|im_start|>"));
  EXPECT_EQ(config.at("add_eos_token"), frame.ends_with("<|im_end|> "));
  return frame;
}

// Source  llama.cpp, src/llama-vocab.cpp.
TEST(GgufModelTest, WhatGoesAroundATextIsLlamaCppsWhereNoKeySaysIt) {
  const auto without_key = [](const byte_vector& bytes) { return changed_in(bytes, "add_bos_token", "xdd_bos_token"); };
  const byte_vector llama3 = changed("smollm", "llama3");
  EXPECT_EQ(frame_of(llama3), "");  // the key says false
  EXPECT_EQ(frame_of(without_key(llama3)), "<|im_start|> text ");
  EXPECT_EQ(frame_of(without_key(changed("smollm", "smollm"))), "");
  const std::string no = "\7\0\0\0\0"s;
  const std::string yes = "\7\0\0\0\1"s;
  EXPECT_EQ(frame_of(changed("add_bos_token" + no, "add_eos_token" + yes)), "text <|im_end|> ");
  EXPECT_EQ(frame_of(changed_in(llama3, "add_bos_token" + no, "add_eos_token" + yes)), "<|im_start|> text <|im_end|> ");
  expect_error(errc::bad_file, "taken for true",
               [&] { import_bytes(changed_in(without_key(llama3), "ggml.bos_token_id", "ggml.xos_token_id")); });
}

TEST(GgufModelTest, WithoutAPreTokenizerLlamaCppsDefaultCuts) {
  const auto model = import_bytes(changed("tokenizer.ggml.pre", "tokenizer.ggml.xxx"));
  const auto steps =
      parse_json(model.tokenizer_files.at("tokenizer.json"), "t").at("pre_tokenizer").at("pretokenizers");
  ASSERT_EQ(steps.size(), 5U);
  EXPECT_EQ(steps[0]["pattern"]["Regex"], R"([\p{P}\$\+<=>\^~\|]+)");
  EXPECT_EQ(steps[3]["pattern"]["Regex"], "[0-9][0-9][0-9]");
  EXPECT_EQ(steps[4]["type"], "ByteLevel");
}

TEST(GgufModelTest, RefusesWhatItCannotTranslate) {
  expect_error(errc::unsupported, "general.architecture is \"mamba\"", [] { import_bytes(changed("llama", "mamba")); });
  expect_error(errc::unsupported, "tokenizer.ggml.model is \"bert\"", [] { import_bytes(changed("gpt2", "bert")); });
  expect_error(errc::unsupported, "tensor blk.7.attn_q.weight has no place",
               [] { import_bytes(changed("blk.1.attn_q.weight", "blk.7.attn_q.weight")); });
  expect_error(errc::unsupported, "tensor blk.1.attn_z.weight",
               [] { import_bytes(changed("blk.1.attn_q.weight", "blk.1.attn_z.weight")); });
  expect_error(errc::not_found, "llama.block_count",
               [] { import_bytes(changed("llama.block_count", "llama.block_xount")); });
  expect_error(errc::unsupported, "llama.rope.dimension_count is 4", [] {
    import_bytes(changed(with_value("llama.rope.dimension_count", 8), with_value("llama.rope.dimension_count", 4)));
  });
}

TEST(ConvertTest, KeepsAFolderAndItsTokenizer) {
  const temporary_folder folder;
  const std::string source = test_data() + "/tiny/qwen2";
  const auto report = convert_model(source, folder / "out", dtype::f32);
  EXPECT_EQ(report.parameters, 107072);
  const auto before = model_folder::open(source);
  const auto after = model_folder::open(folder / "out");
  EXPECT_EQ(after.tensor_names(), before.tensor_names());
  for (const std::string& name : before.tensor_names()) {
    EXPECT_EQ(after.find(name)->type, dtype::f32);
    EXPECT_EQ(to_float32(*after.find(name)), to_float32(*before.find(name))) << name;
  }
  EXPECT_EQ(require_text(after.config(), "torch_dtype"), "float32");
  EXPECT_EQ(read_text_file(folder / "out/merges.txt"), read_text_file(source + "/merges.txt"));
  // bfloat16 to float32 and back is exact.
  convert_model(folder / "out", folder / "back", dtype::bf16);
  EXPECT_EQ(test::read_bytes(folder / "back/model.safetensors"), test::read_bytes(source + "/model.safetensors"));
  expect_error(errc::bad_argument, "contains the source",
               [&] { convert_model(folder / "out", folder / "out", dtype::f32); });
  expect_error(errc::bad_argument, "not i64", [&] { convert_model(source, folder / "x", dtype::i64); });
  expect_error(errc::not_found, "no such model", [&] { convert_model(folder / "none", folder / "x", dtype::f32); });
}

TEST(ConvertTest, KeepsIntegerTensors) {
  const temporary_folder folder;
  convert_model(test_data() + "/tiny/gpt2", folder / "out", dtype::f16);
  const auto model = model_folder::open(folder / "out");
  EXPECT_EQ(model.find("h.0.attn.bias")->type, dtype::u8);
  EXPECT_EQ(model.find("wte.weight")->type, dtype::f16);
}

TEST(ArrayTypesTest, ConvertsAndRefuses) {
  const host_array array = make_host_array("a", {2}, {1.0F, 3.14159F});
  EXPECT_EQ(to_float32(convert_array(array, dtype::bf16)), (std::vector<float>{1.0F, 3.140625F}));
  EXPECT_EQ(convert_array(array, dtype::f32).bytes.data(), array.bytes.data());
  expect_error(errc::unsupported, "tensor a is f32, which cannot become i64",
               [&] { convert_array(array, dtype::i64); });
  EXPECT_EQ(parse_float_type("bf16"), dtype::bf16);
  expect_error(errc::bad_argument, "\"f64\" is no type of weights", [] { parse_float_type("f64"); });
}

}  // namespace
}  // namespace troupe::io

#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/model_folder.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

const std::string data = test_data() + "/";

model_folder_contents contents_of(const model_folder& model) {
  model_folder_contents contents;
  contents.config_json = model.config_json();
  for (const std::string& name : model.tensor_names()) {
    const host_array array = *model.find(name);
    contents.tensors.push_back({name, array.type, array.shape});
  }
  contents.producer = [model](const std::function<void(host_array)>& sink) {
    for (const std::string& name : model.tensor_names()) {
      sink(*model.find(name));
    }
  };
  return contents;
}

TEST(ModelFolderTest, LoadsEveryFixture) {
  struct expectation {
    const char* folder;
    size_t tensors;
    int64_t values;
    const char* type;
  };
  // counted by Python from the files' headers
  for (const expectation& e : {expectation{"tiny/opt", 37, 108224, "opt"},
                               {"tiny/gpt2", 30, 173824, "gpt2"},
                               {"tiny/llama", 22, 147840, "llama"},
                               {"tiny/llama3", 20, 119104, "llama"},
                               {"tiny/qwen2", 26, 107072, "qwen2"},
                               {"tiny/gpt_neox", 28, 132608, "gpt_neox"},
                               {"tiny/bloom", 29, 132992, "bloom"},
                               {"tiny/opt_postln", 37, 95776, "opt"},
                               {"stories260k", 47, 260032, "llama"}}) {
    const auto model = model_folder::open(data + e.folder);
    EXPECT_EQ(require_text(model.config(), "model_type"), e.type);
    int64_t values = 0;
    for (const std::string& name : model.tensor_names()) {
      const host_array array = *model.find(name);
      EXPECT_EQ(array.name, name);
      values += array.elements();
    }
    EXPECT_EQ(model.tensor_names().size(), e.tensors) << e.folder;
    EXPECT_EQ(values, e.values) << e.folder;
    EXPECT_FALSE(model.find("no such tensor").has_value());
  }
}

TEST(ModelFolderTest, ReadsAValueHeadBesideATrunk) {
  const auto model = model_folder::open(data + "tiny/llama");
  EXPECT_EQ(model.find("v_head.weight")->shape, (std::vector<int64_t>{1, 64}));
}

TEST(ModelFolderTest, FinderKeepsTheFilesAlive) {
  array_finder find = model_folder::open(data + "tiny/llama3").finder();
  EXPECT_EQ(find("model.norm.weight")->shape, std::vector<int64_t>{64});
}

TEST(ModelFolderTest, NamesWhatIsMissing) {
  const temporary_folder folder;
  expect_error(errc::not_found, "no such folder", [&] { model_folder::open(folder / "none"); });
  expect_error(errc::not_found, "config.json", [&] { model_folder::open(folder.path()); });
  write_file_atomically(folder / "config.json", std::string_view("{}"));
  // Files of other names are not globbed.
  fs::copy_file(data + "tiny/llama/model.safetensors", folder / "other.safetensors");
  expect_error(errc::not_found, "no weights: none of model.safetensors", [&] { model_folder::open(folder.path()); });
  EXPECT_TRUE(model_folder::open_shape(folder.path()).tensor_names().empty());
  fs::rename(folder / "other.safetensors", folder / "model.safetensors");
  EXPECT_EQ(model_folder::open(folder.path()).tensor_names().size(), 21U);
  write_file_atomically(folder / "generation_config.json", std::string_view(R"({"eos_token_id": [1, 2]})"));
  EXPECT_TRUE(model_folder::open(folder.path()).generation_config().contains("eos_token_id"));
  fs::copy_file(data + "tiny/llama/model.safetensors", folder / "v_head.safetensors");
  expect_error(errc::bad_file, "is in model.safetensors too", [&] { model_folder::open(folder.path()); });
}

TEST(ModelFolderTest, ChecksTheIndexAgainstTheShards) {
  const temporary_folder folder;
  fs::copy(data + "tiny/llama3", folder / "m");
  const fs::path index = folder / "m/model.safetensors.index.json";
  const std::string original = read_text_file(index);
  const auto with = [&](const std::function<void(nlohmann::json&)>& change) {
    auto json = parse_json(original, "index");
    change(json["weight_map"]);
    write_file_atomically(index, json.dump());
    return [&] { model_folder::open(folder / "m"); };
  };
  expect_error(errc::bad_file, "is no file name",
               with([](auto& map) { map["model.norm.weight"] = "../llama/model.safetensors"; }));
  expect_error(errc::bad_file, "is no file name", with([](auto& map) { map["model.norm.weight"] = "/etc/passwd"; }));
  expect_error(errc::bad_file, "is no file name", with([](auto& map) { map["model.norm.weight"] = ".."; }));
  expect_error(errc::bad_file, "is no file name", with([](auto& map) { map["model.norm.weight"] = 1; }));
  expect_error(errc::bad_file, "x.safetensors that it names is missing",
               with([](auto& map) { map["model.norm.weight"] = "x.safetensors"; }));
  expect_error(errc::bad_file, "tensor more is not in model-00001-of-00004.safetensors",
               with([](auto& map) { map["more"] = "model-00001-of-00004.safetensors"; }));
  expect_error(errc::bad_file, "tensor model.norm.weight is not in",
               with([](auto& map) { map["model.norm.weight"] = "model-00001-of-00004.safetensors"; }));
  expect_error(errc::bad_file, "holds tensor model.norm.weight, which the index does not list",
               with([](auto& map) { map.erase("model.norm.weight"); }));
  write_file_atomically(index, std::string_view("{}"));
  expect_error(errc::bad_file, "weight_map is missing", [&] { model_folder::open(folder / "m"); });
}

TEST(WriteModelFolderTest, RoundTripsWholeAndInShards) {
  const temporary_folder folder;
  const auto model = model_folder::open(data + "tiny/llama");
  model_folder_contents contents = contents_of(model);
  contents.tokenizer_source = data + "tiny/llama";
  contents.generation_config_json = R"({"eos_token_id": 2})";
  for (const int64_t limit : {int64_t{1} << 40, int64_t{200000}, int64_t{1}}) {
    contents.shard_bytes = limit;
    write_model_folder(folder / "m", contents);  // replaces the one before, files included
    const auto back = model_folder::open(folder / "m");
    EXPECT_EQ(fs::exists(folder / "m/model.safetensors"), limit > 1000000);
    EXPECT_EQ(fs::exists(folder / "m/model.safetensors.index.json"), limit < 1000000);
    EXPECT_EQ(fs::exists(folder / "m/model-00022-of-00022.safetensors"), limit == 1);
    EXPECT_EQ(back.tensor_names(), model.tensor_names());
    for (const std::string& name : model.tensor_names()) {
      EXPECT_EQ(to_float32(*back.find(name)), to_float32(*model.find(name))) << name;
    }
    EXPECT_EQ(back.config_json(), model.config_json());
    EXPECT_EQ(require_int(back.generation_config(), "eos_token_id"), 2);
    EXPECT_EQ(test::read_bytes(folder / "m/tokenizer.model"), test::read_bytes(data + "tiny/llama/tokenizer.model"));
  }
}

TEST(WriteModelFolderTest, ConvertsToTheTypesAsked) {
  const temporary_folder folder;
  model_folder_contents contents;
  contents.config_json = "{}";
  contents.producer = [](const std::function<void(host_array)>& sink) { sink(make_host_array("a", {2}, {1, 2})); };
  contents.tensors = {{"a", dtype::f16, {2}}};
  write_model_folder(folder / "m", contents);
  EXPECT_EQ(model_folder::open(folder / "m").find("a")->type, dtype::f16);
}

TEST(WriteModelFolderTest, LeavesTheOldFolderWhenItFails) {
  const temporary_folder folder;
  model_folder_contents contents = contents_of(model_folder::open(data + "tiny/llama"));
  write_model_folder(folder / "m", contents);
  const auto before = test::read_bytes(folder / "m/model.safetensors");
  contents.producer = [](const std::function<void(host_array)>& sink) {
    sink(make_host_array("lm_head.weight", {1}, {1}));
  };
  expect_error(errc::shape_mismatch, "lm_head.weight", [&] { write_model_folder(folder / "m", contents); });
  contents.producer = [](const std::function<void(host_array)>&) {};
  expect_error(errc::bad_argument, "never written", [&] { write_model_folder(folder / "m", contents); });
  contents.config_json = "[]";
  expect_error(errc::bad_file, "object is expected", [&] { write_model_folder(folder / "m", contents); });
  EXPECT_EQ(test::read_bytes(folder / "m/model.safetensors"), before);
  EXPECT_FALSE(fs::exists(folder / "m.tmp"));
}

TEST(ModelConfigTest, TurnsHeadsThereAndBack) {
  const std::string config = R"({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "x": 1.5})";
  const std::string scalar = scalar_head_config(config, "GPTNeoXForSequenceClassification", 3);
  const key_map keys = parse_json_keys(scalar, "c");
  EXPECT_EQ(require_text(keys, "architectures.0"), "GPTNeoXForSequenceClassification");
  EXPECT_EQ(require_text(keys, "id2label.0"), "LABEL_0");
  EXPECT_FALSE(keys.contains("id2label.1"));
  EXPECT_EQ(require_int(keys, "label2id.LABEL_0"), 0);
  EXPECT_EQ(require_int(keys, "pad_token_id"), 3);
  EXPECT_EQ(get_double(keys, "x", 0), 1.5);
  EXPECT_EQ(
      require_int(parse_json_keys(scalar_head_config(scalar, "GPTNeoXForSequenceClassification"), "c"), "pad_token_id"),
      3);
  const key_map back = parse_json_keys(language_model_config(scalar, "GPTNeoXForCausalLM"), "c");
  EXPECT_EQ(require_text(back, "architectures.0"), "GPTNeoXForCausalLM");
  EXPECT_FALSE(back.contains("id2label.0"));
  EXPECT_EQ(require_text(parse_json_keys(typed_config(R"({"dtype": "float16"})", "float32"), "c"), "torch_dtype"),
            "float32");
}

TEST(ModelConfigTest, RefusesAMissingPadAndWhatIsNoObject) {
  expect_error(errc::bad_argument, "no pad_token_id",
               [] { scalar_head_config(R"({"pad_token_id": null})", "GPT2ForSequenceClassification"); });
  expect_error(errc::bad_file, "object", [] { language_model_config("[]", "GPT2LMHeadModel"); });
}

}  // namespace
}  // namespace troupe::io

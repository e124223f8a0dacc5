// Where a model may be written, and by which names one place goes.
#include "io/files/atomic_file.hpp"
#include "io/files/attempt_fence.hpp"
#include "io/weights/model_folder.hpp"
#include "io/weights/model_target.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

void write(const fs::path& path, const std::string& text = "{}") {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, text);
}

class ModelTarget : public ::testing::Test {
protected:
  void SetUp() override {
    write(folder_ / "models/source/config.json");
    write(folder_ / "older/config.json");
    write(folder_ / "older/model-00001-of-00002.safetensors");
    write(folder_ / "older/tokenizer.json");
  }
  fs::path target_of(const fs::path& target, bool overwrite = false) const {
    const std::vector<fs::path> sources = {folder_ / "models/source"};
    return model_target(folder_ / target, sources, overwrite);
  }
  void expect_refused(const std::string& why, const fs::path& target) const {
    for (const bool overwrite : {false, true}) {
      expect_error(errc::bad_argument, why, [&] { target_of(target, overwrite); });
    }
  }
  const temporary_folder folder_;
};

TEST_F(ModelTarget, AFreePlaceOrAnEmptyFolderIsTaken) {
  EXPECT_EQ(target_of("new/deep/"), fs::canonical(folder_.path()) / "new/deep");
  fs::create_directories(folder_ / "empty");
  EXPECT_EQ(target_of("empty"), fs::canonical(folder_.path()) / "empty");
}

TEST_F(ModelTarget, AnOlderModelIsReplacedOnlyWhenThatIsSaid) {
  expect_error(errc::bad_argument, "--overwrite", [&] { target_of("older"); });
  EXPECT_EQ(target_of("older/", true), fs::canonical(folder_.path()) / "older");
}

TEST_F(ModelTarget, AFolderWithAnythingElseIsRefused) {
  write(folder_ / "older/notes.txt");
  expect_refused("holds notes.txt", "older");
  fs::remove(folder_ / "older/notes.txt");
  fs::create_directories(folder_ / "older/model.safetensors");  // a folder by a file's name
  expect_refused("holds model.safetensors", "older");
  write(folder_ / "words/tokenizer.json");
  expect_refused("no whole model", "words");
  write(folder_ / "file");
  expect_refused("a file of that name", "file");
}

TEST_F(ModelTarget, TheSourceIsNeverInReachWhateverItIsCalled) {
  expect_refused("contains the source", "models");
  expect_refused("contains the source", "models/source");
  expect_refused("contains the source", "models/source/");
  expect_refused("contains the source", "models/./source/../source");
  expect_refused("contains the source", ".");
  expect_refused("lies in the source", "models/source/converted");
  fs::create_directory_symlink(folder_ / "models", folder_ / "link");
  expect_refused("contains the source", "link");
  expect_refused("lies in the source", "link/source/bf16");
}

TEST_F(ModelTarget, WhereLinksOfTheSourceLeadIsSourceToo) {
  fs::create_symlink(folder_ / "older/model-00001-of-00002.safetensors", folder_ / "models/source/model.safetensors");
  expect_refused("contains the source", "older");
}

TEST_F(ModelTarget, ALinkToAnOlderModelStaysAndItsModelIsReplaced) {
  fs::create_directory_symlink(folder_ / "older", folder_ / "current");
  EXPECT_EQ(target_of("current", true), fs::canonical(folder_.path()) / "older");
}

TEST_F(ModelTarget, WhatIsNoPlaceIsRefused) {
  fs::create_directory_symlink(folder_ / "gone", folder_ / "nowhere");
  expect_refused("leads nowhere", "nowhere");
  expect_error(errc::bad_argument, "no name", [] { model_target("", {}, false); });
}

TEST_F(ModelTarget, ARunKeepsWhatOthersPutWhereItsModelGoes) {
  const attempt_fence fence(folder_ / "fence", [] {});
  fs::create_directories(fence.folder());
  const model_folder_contents contents{.config_json = "{}",
                                       .tensors = {{"a", dtype::f32, {1}}},
                                       .producer = [](const auto& sink) { sink(make_host_array("a", {1}, {1.0F})); }};
  write(folder_ / "sft/my-notes.txt", "mine");
  write_model_folder(folder_ / "sft", contents, &fence);
  write(folder_ / "sft/more-notes.txt", "more");
  write_model_folder(folder_ / "sft", contents, &fence);
  write_model_folder(folder_ / "sft", contents, &fence);
  EXPECT_TRUE(fs::exists(folder_ / "sft.kept-1/my-notes.txt"));
  EXPECT_TRUE(fs::exists(folder_ / "sft.kept-2/more-notes.txt"));
  EXPECT_FALSE(fs::exists(folder_ / "sft.kept-3"));
  EXPECT_TRUE(fs::exists(folder_ / "sft/model.safetensors"));
}

}  // namespace
}  // namespace troupe::io

/// Experience files: what is written comes back, other tools read it, and damage is an error.
#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/files/mapped_file.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::temporary_folder;

experience small(bool with_text = true) {
  experience e;
  e.iteration = 4;
  e.policy_version = 17;
  e.seed = std::numeric_limits<uint64_t>::max();
  e.temperature = 0.7;
  e.top_k = 50;
  e.top_p = 0.9;
  e.job_digest = "0123456789abcdef";
  e.policy_digest = "1123456789abcdef";
  e.tokenizer_digest = "2123456789abcdef";
  e.source_names = {"stories", "h\xc3\xa9h\xc3\xa9"};
  e.reward_names = {"lexicon", "length"};
  e.sequence_id_B = {3, 9, 12};
  e.prompt_id_B = {1, 1, 2};
  e.source_B = {0, 0, 1};
  e.token_N = {1, 2, 3, 4, 5, 6, 7};
  e.sequence_offset_B1 = {0, 3, 5, 7};
  e.answer_offset_B1 = {0, 2, 2, 3};  // the second answer is empty
  e.finished_B = {1, 0, 1};
  e.logprob_old_A = {-0.5F, -1.25F, -3};
  e.logprob_ref_A = {-0.75F, -1, -2};
  e.value_A = {0.1F, 0.2F, 0.3F};
  e.reward_raw_BS = {1, 2, 3, 4, 5, 6};
  e.reward_shaped_A = {0, 1, 2};
  e.advantage_A = {-1, 0, 1};
  if (with_text) {
    e.prompt_text_B = {"Once", "upon", ""};
    e.answer_text_B = {" a time", "", "z\xc3\xbc"};
  }
  return e;
}

void expect_equal(const experience& a, const experience& b) {
  EXPECT_EQ(a.iteration, b.iteration);
  EXPECT_EQ(a.policy_version, b.policy_version);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.temperature, b.temperature);
  EXPECT_EQ(a.top_k, b.top_k);
  EXPECT_EQ(a.top_p, b.top_p);
  EXPECT_EQ(a.job_digest, b.job_digest);
  EXPECT_EQ(a.policy_digest, b.policy_digest);
  EXPECT_EQ(a.tokenizer_digest, b.tokenizer_digest);
  EXPECT_EQ(a.source_names, b.source_names);
  EXPECT_EQ(a.reward_names, b.reward_names);
  EXPECT_EQ(a.sequence_id_B, b.sequence_id_B);
  EXPECT_EQ(a.prompt_id_B, b.prompt_id_B);
  EXPECT_EQ(a.source_B, b.source_B);
  EXPECT_EQ(a.token_N, b.token_N);
  EXPECT_EQ(a.sequence_offset_B1, b.sequence_offset_B1);
  EXPECT_EQ(a.answer_offset_B1, b.answer_offset_B1);
  EXPECT_EQ(a.finished_B, b.finished_B);
  EXPECT_EQ(a.logprob_old_A, b.logprob_old_A);
  EXPECT_EQ(a.logprob_ref_A, b.logprob_ref_A);
  EXPECT_EQ(a.value_A, b.value_A);
  EXPECT_EQ(a.reward_raw_BS, b.reward_raw_BS);
  EXPECT_EQ(a.reward_shaped_A, b.reward_shaped_A);
  EXPECT_EQ(a.advantage_A, b.advantage_A);
  EXPECT_EQ(a.prompt_text_B, b.prompt_text_B);
  EXPECT_EQ(a.answer_text_B, b.answer_text_B);
}

TEST(ExperienceTest, EverythingWrittenComesBack) {
  const temporary_folder folder;
  for (const bool with_text : {true, false}) {
    write_experience(folder / "a.h5", small(with_text));
    expect_equal(read_experience(folder / "a.h5"), small(with_text));
  }
  experience none;
  none.sequence_offset_B1 = none.answer_offset_B1 = {0};
  write_experience(folder / "none.h5", none);
  expect_equal(read_experience(folder / "none.h5"), none);
}

TEST(ExperienceTest, EqualExperienceGivesEqualBytes) {
  const temporary_folder folder;
  write_experience(folder / "a.h5", small());
  write_experience(folder / "b.h5", small());
  EXPECT_EQ(read_text_file(folder / "a.h5"), read_text_file(folder / "b.h5"));
}

TEST(ExperienceTest, H5pyReadsTheSameNames) {
  if (std::system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") != 0) {
    GTEST_SKIP() << "h5py is not installed";
  }
  const temporary_folder folder;
  write_experience(folder / "a.h5", small());
  std::ofstream(folder / "check.py") << R"(
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1], 'r')
a = f.attrs
assert a['format'] == 1 and a['iteration'] == 4 and a['policy_version'] == 17
assert a['seed'] == 2**64 - 1 and a['temperature'] == 0.7 and a['top_k'] == 50 and a['top_p'] == 0.9
assert a['job_digest'] == '0123456789abcdef' and list(a['source_names']) == ['stories', 'h\u00e9h\u00e9']
assert sorted(f) == sorted('sequence_id prompt_id source token sequence_offset answer_offset finished '
  'logprob_old logprob_ref value reward_raw reward_shaped advantage text'.split())
types = dict(sequence_id='u8', prompt_id='u8', source='u2', token='i4', sequence_offset='i8', answer_offset='i8',
  finished='u1', logprob_old='f4', logprob_ref='f4', value='f4', reward_raw='f4', reward_shaped='f4', advantage='f4')
for name, kind in types.items(): assert f[name].dtype == np.dtype('<' + kind), name
assert f['reward_raw'].shape == (3, 2) and f['reward_raw'][2, 0] == 5
assert f['sequence_id'][:].tolist() == [3, 9, 12] and f['token'][:].tolist() == [1, 2, 3, 4, 5, 6, 7]
assert f['text/answer'].asstr()[:].tolist() == [' a time', '', 'z\u00fc']
)";
  EXPECT_EQ(
      std::system(("/usr/bin/python3 " + (folder / "check.py").string() + " " + (folder / "a.h5").string()).c_str()),
      0);
}

TEST(ExperienceTest, AFileOfAnotherProgramIsReadToo) {
  if (std::system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") != 0) {
    GTEST_SKIP() << "h5py is not installed";
  }
  const temporary_folder folder;
  write_experience(folder / "a.h5", small());
  std::ofstream(folder / "rewrite.py") << R"(
import sys, h5py
a, b = h5py.File(sys.argv[1], 'r'), h5py.File(sys.argv[2], 'w')
for name in a: a.copy(name, b)
for name, value in a.attrs.items(): b.attrs[name] = value
)";
  ASSERT_EQ(std::system(("/usr/bin/python3 " + (folder / "rewrite.py").string() + " " + (folder / "a.h5").string() +
                         " " + (folder / "b.h5").string())
                            .c_str()),
            0);
  expect_equal(read_experience(folder / "b.h5"), small());
}

/// True if reading gives an error; anything else that goes wrong fails the test by itself.
bool refused(const fs::path& path) {
  try {
    read_experience(path);
    return false;
  } catch (const error&) {
    return true;
  }
}

/// In place: to write the file anew each time would wait for the disk.
void put_byte(const fs::path& path, size_t offset, char byte) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset)).put(byte);
}

TEST(ExperienceTest, EveryTruncationAndEveryFlippedByteIsAnError) {
  const temporary_folder folder;
  const fs::path path = folder / "a.h5";
  write_experience(path, small());
  const std::string good = read_text_file(path);
  for (size_t i = 0; i < good.size(); ++i) {
    put_byte(path, i, static_cast<char>(good[i] ^ (1 << (i % 8))));
    ASSERT_TRUE(refused(path)) << "byte " << i;
    put_byte(path, i, good[i]);
  }
  ASSERT_FALSE(refused(path));
  for (size_t size = good.size(); size-- > 0;) {
    fs::resize_file(path, size);
    ASSERT_TRUE(refused(path)) << "cut to " << size;
  }
  fs::remove(path);
  EXPECT_TRUE(refused(path));
}

TEST(ExperienceTest, ContradictionsAreRefusedAndNothingIsWritten) {
  const temporary_folder folder;
  const auto bad = [&](const char* named, auto change) {
    experience e = small();
    change(e);
    try {
      write_experience(folder / "bad.h5", e);
      ADD_FAILURE() << named;
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), errc::bad_argument);
      EXPECT_NE(std::string(failure.what()).find(named), std::string::npos) << failure.what();
    }
    EXPECT_TRUE(fs::is_empty(folder.path()));
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  bad("prompt_id", [](auto& e) { e.prompt_id_B.pop_back(); });
  bad("sequence_id[0]", [](auto& e) { e.sequence_id_B[1] = 3; });
  bad("sequence_offset[2]", [](auto& e) { e.sequence_offset_B1[2] = 1; });
  bad("sequence_offset", [](auto& e) { e.sequence_offset_B1[0] = 1; });
  bad("answer_offset", [](auto& e) { e.answer_offset_B1[3] = 4; });
  bad("sequence 0", [](auto& e) {
    e.answer_offset_B1 = {0, 1, 1, 3};
    e.sequence_offset_B1 = {0, 0, 5, 7};
  });
  bad("source[2]", [](auto& e) { e.source_B[2] = 2; });
  bad("finished[1]", [](auto& e) { e.finished_B[1] = 2; });
  bad("token[0]", [](auto& e) { e.token_N[0] = -1; });
  bad("logprob_old[1]", [&](auto& e) { e.logprob_old_A[1] = nan; });
  bad("logprob_ref[0]", [](auto& e) { e.logprob_ref_A[0] = 0.5F; });
  bad("advantage[2]", [&](auto& e) { e.advantage_A[2] = nan; });
  bad("reward_raw", [](auto& e) { e.reward_names.pop_back(); });
  bad("text/answer", [](auto& e) { e.answer_text_B.clear(); });
  bad("top_p", [](auto& e) { e.top_p = 0; });
}

TEST(ExperienceTest, AnAnswerWithANulIsKept) {
  const temporary_folder folder;
  experience e = small();
  e.answer_text_B[1] = std::string("a\0b\0", 4);
  write_experience(folder / "e.h5", e);
  EXPECT_EQ(read_experience(folder / "e.h5").answer_text_B[1], "a\u2400b\u2400");
}

TEST(ExperienceTest, ANumberThatIsNotFiniteCanBeKeptForInspection) {
  const temporary_folder folder;
  experience e = small();
  e.advantage_A[1] = std::numeric_limits<float>::infinity();
  write_experience_unchecked(folder / "a.h5", e);
  EXPECT_THROW(read_experience(folder / "a.h5"), error);
  EXPECT_EQ(read_experience_unchecked(folder / "a.h5").advantage_A, e.advantage_A);
}

TEST(ExperienceTest, FilesBeyondTheCheckpointAreRemovedOnResume) {
  const temporary_folder folder;
  for (const char* name : {"iteration-000001.h5", "iteration-000002.h5", "iteration-000003.h5", "notes.txt"}) {
    std::ofstream(folder / name) << "x";
  }
  fs::create_directory(folder / "fence");
  remove_experience_after(folder.path(), 2, attempt_fence(folder / "fence", [] {}));
  EXPECT_TRUE(fs::exists(folder / "iteration-000002.h5"));
  EXPECT_FALSE(fs::exists(folder / "iteration-000003.h5"));
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
}

}  // namespace
}  // namespace troupe::io

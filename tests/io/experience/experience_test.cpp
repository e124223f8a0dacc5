/// Experience files: what is written comes back, other tools read it, and damage is an error.
#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/experience_set.hpp"
#include "io/experience/summary.hpp"
#include "io/files/mapped_file.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <span>

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
  e.reference_digest = "3123456789abcdef";
  e.critic_digest = "4123456789abcdef";
  e.min_p = 0.05;
  e.repetition_penalty = 1.5;
  e.shaping = shaping_state{.kl_coefficient = 0.1, .scale_count = 9, .scale_mean = 1.0 / 3, .scale_squares = 0.7};
  e.source_names = {"stories", "h\xc3\xa9h\xc3\xa9"};
  e.reward_names = {"lexicon", "length"};
  e.sequence_id_B = {3, 9, 12};
  e.prompt_id_B = {1, 1, 2};
  e.group_B = {77, 78, 79};
  e.source_B = {0, 0, 1};
  e.token_N = {1, 2, 3, 4, 5, 6, 7};
  e.sequence_offset_B1 = {0, 3, 5, 7};
  e.answer_offset_B1 = {0, 2, 2, 3};  // the second answer is empty
  e.finished_B = {1, 0, 1};
  e.logprob_old_A = {-0.5F, -1.25F, -3};
  e.logprob_ref_A = {-0.75F, -1, -2};
  e.value_A = {0.1F, 0.2F, 0.3F};
  e.reward_raw_BS = {1, 2, 3, 4, 5, 6};
  e.reward_weight_S = {1, -0.5};
  e.reward_shaped_A = {0, 1, 2};
  e.advantage_A = {-1, 0, 1};
  if (with_text) {
    e.prompt_text_B = {"Once", "upon", ""};
    e.answer_text_B = {" a time", "", "z\xc3\xbc"};
    e.label_text_B = {"", "42", ""};
  }
  return e;
}

/// Fields one by one, so that a failure names one. `same` of floats: NaN equals itself.
void expect_equal(const experience& a, const experience& b) {
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return std::ranges::equal(std::as_bytes(std::span(x)), std::as_bytes(std::span(y)));
  };
  EXPECT_EQ(a.iteration, b.iteration);
  EXPECT_EQ(a.policy_version, b.policy_version);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.temperature, b.temperature);
  EXPECT_EQ(a.top_k, b.top_k);
  EXPECT_EQ(a.top_p, b.top_p);
  EXPECT_EQ(a.min_p, b.min_p);
  EXPECT_EQ(a.repetition_penalty, b.repetition_penalty);
  EXPECT_EQ(a.job_digest, b.job_digest);
  EXPECT_EQ(a.policy_digest, b.policy_digest);
  EXPECT_EQ(a.reference_digest, b.reference_digest);
  EXPECT_EQ(a.critic_digest, b.critic_digest);
  EXPECT_EQ(a.tokenizer_digest, b.tokenizer_digest);
  EXPECT_EQ(a.source_names, b.source_names);
  EXPECT_EQ(a.reward_names, b.reward_names);
  EXPECT_EQ(a.reward_weight_S, b.reward_weight_S);
  EXPECT_EQ(a.shaping, b.shaping);
  EXPECT_EQ(a.behaviour, b.behaviour);
  EXPECT_EQ(a.behaviour_digest, b.behaviour_digest);
  EXPECT_EQ(a.complete, b.complete);
  EXPECT_EQ(a.sequence_id_B, b.sequence_id_B);
  EXPECT_EQ(a.prompt_id_B, b.prompt_id_B);
  EXPECT_EQ(a.group_B, b.group_B);
  EXPECT_EQ(a.source_B, b.source_B);
  EXPECT_EQ(a.token_N, b.token_N);
  EXPECT_EQ(a.sequence_offset_B1, b.sequence_offset_B1);
  EXPECT_EQ(a.answer_offset_B1, b.answer_offset_B1);
  EXPECT_EQ(a.finished_B, b.finished_B);
  EXPECT_TRUE(same(a.logprob_old_A, b.logprob_old_A));
  EXPECT_TRUE(same(a.logprob_ref_A, b.logprob_ref_A));
  EXPECT_TRUE(same(a.value_A, b.value_A));
  EXPECT_TRUE(same(a.reward_raw_BS, b.reward_raw_BS));
  EXPECT_TRUE(same(a.reward_shaped_A, b.reward_shaped_A));
  EXPECT_TRUE(same(a.advantage_A, b.advantage_A));
  EXPECT_EQ(a.prompt_text_B, b.prompt_text_B);
  EXPECT_EQ(a.answer_text_B, b.answer_text_B);
  EXPECT_EQ(a.label_text_B, b.label_text_B);
}

/// Text alone, as from another system: nobody knows what sampled it, and nothing was scored.
experience imported() {
  experience e = small();
  e.behaviour = behaviour_source::unknown;
  e.complete = false;
  e.shaping.reset();
  e.job_digest = e.policy_digest = e.reference_digest = e.critic_digest = "";
  for (std::vector<float>* values :
       {&e.logprob_old_A, &e.logprob_ref_A, &e.value_A, &e.reward_shaped_A, &e.advantage_A}) {
    values->clear();
  }
  return e;
}

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// The first sequence's reward could not be had.
experience unscored() {
  experience e = small();
  e.reward_raw_BS[1] = nan;
  e.reward_shaped_A[0] = e.reward_shaped_A[1] = 0;
  e.advantage_A[0] = e.advantage_A[1] = 0;
  return e;
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

TEST(ExperienceTest, EverythingWrittenComesBack) {
  const temporary_folder folder;
  for (const bool with_text : {true, false}) {
    write_experience(folder / "a.h5", small(with_text));
    expect_equal(read_experience(folder / "a.h5"), small(with_text));
  }
  for (const experience& e : {imported(), unscored()}) {
    write_experience(folder / "b.h5", e);
    expect_equal(read_experience(folder / "b.h5"), e);
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
assert a['format'] == 2 and a['iteration'] == 4 and a['policy_version'] == 17
assert a['seed'] == 2**64 - 1 and a['temperature'] == 0.7 and a['top_k'] == 50 and a['top_p'] == 0.9
assert a['job_digest'] == '0123456789abcdef' and list(a['source_names']) == ['stories', 'h\u00e9h\u00e9']
assert a['complete'] == 1 and a['behaviour'] == 'sampled' and a['kl_coefficient'] == 0.1 and a['min_p'] == 0.05
assert sorted(f) == sorted('sequence_id prompt_id group source token sequence_offset answer_offset finished '
  'logprob_old logprob_ref value reward_raw reward_weight reward_shaped advantage text'.split())
types = dict(sequence_id='u8', prompt_id='u8', group='u8', source='u2', token='i4', sequence_offset='i8', answer_offset='i8',
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

TEST(ExperienceTest, AFileOfFormat1IsReadAndItsGroupsFollowFromThePrompts) {
  const experience e = read_experience(test_data() + "/formats/experience-1.h5");
  EXPECT_EQ(e.iteration, 1);
  EXPECT_EQ(e.policy_digest, "43ef87bc0f3fce6f");
  EXPECT_EQ(e.sequence_id_B, (std::vector<uint64_t>{0, 1, 4096, 4097}));
  EXPECT_EQ(e.group_B, (std::vector<uint64_t>{16478017046366664273U, 16478017046366664273U, 4465861838620980107U,
                                              4465861838620980107U}));
  EXPECT_EQ(e.answer_text_B, (std::vector<std::string>{", a ", "Ben th", "whil", "elep"}));
  EXPECT_FLOAT_EQ(e.logprob_old_A.at(3), -7.426976680755615F);
  EXPECT_EQ(e.behaviour, behaviour_source::sampled);
  EXPECT_TRUE(e.complete);
  EXPECT_TRUE(e.reward_weight_S.empty()) << "format 1 does not tell";
  EXPECT_FALSE(e.shaping.has_value());
  const experience_summary summary = read_summary(test_data() + "/formats/experience-1.h5");
  EXPECT_EQ(summary.sequences, 4);
  EXPECT_EQ(summary.groups, 2);
  EXPECT_EQ(summary.answer_tokens, 12);
}

TEST(ExperienceTest, AFileOfALaterFormatIsRefusedByItsNumber) {
  const temporary_folder folder;
  std::ofstream(folder / "a.h5") << "troupe experience 3\n" << std::string(2000, 'x');
  test::expect_error(errc::unsupported, "format 3, this Troupe reads formats 1 and 2",
                     [&] { read_experience(folder / "a.h5"); });
  test::expect_error(errc::unsupported, "format 3", [&] { read_summary(folder / "a.h5"); });
}

TEST(ExperienceTest, TheSummaryIsReadFromTheFirstBytesAlone) {
  const temporary_folder folder;
  const experience e = unscored();
  write_experience(folder / "a.h5", e);
  put_byte(folder / "a.h5", fs::file_size(folder / "a.h5") - 1, 'x');  // the list does not read so far
  const experience_summary s = read_summary(folder / "a.h5");
  EXPECT_EQ(s.iteration, 4);
  EXPECT_EQ(s.policy_version, 17);
  EXPECT_EQ(s.sequences, 3);
  EXPECT_EQ(s.groups, 3);
  EXPECT_EQ(s.prompt_tokens, 4);
  EXPECT_EQ(s.answer_tokens, 3);
  EXPECT_EQ(s.finished, 2);
  EXPECT_EQ(s.unscorable, 1);
  EXPECT_DOUBLE_EQ(s.length_mean(), 1);
  EXPECT_DOUBLE_EQ(s.reward_mean, 1.5);  // 3 - 4/2 and 5 - 6/2
  EXPECT_DOUBLE_EQ(s.reward_std, 0.5);
  EXPECT_DOUBLE_EQ(s.kl_per_sequence_nats, (0.25 - 0.25 - 1) / 3);
  EXPECT_EQ(summary_text(s), summary_text(summary_of(e))) << "what is read is what was made";
  EXPECT_TRUE(refused(folder / "a.h5"));
}

TEST(ExperienceTest, ASummaryInDamagedFirstBytesOrOfACutFileIsAnError) {
  const temporary_folder folder;
  const fs::path path = folder / "a.h5";
  write_experience(path, imported());
  EXPECT_TRUE(std::isnan(read_summary(path).kl_per_sequence_nats));
  const std::string good = read_text_file(path);
  for (size_t i = 0; i < 1024; ++i) {
    put_byte(path, i, static_cast<char>(good[i] ^ (1 << (i % 8))));
    ASSERT_THROW(read_summary(path), error) << "byte " << i;
    put_byte(path, i, good[i]);
  }
  for (size_t size = good.size() - 1; size > 64; size -= 64) {
    fs::resize_file(path, size);
    ASSERT_THROW(read_summary(path), error) << "cut to " << size;
  }
}

TEST(ExperienceTest, DamagedFirstBytesAreDamageWhereverTheirDigestSeemsToBe) {
  const temporary_folder folder;
  const fs::path path = folder / "a.h5";
  write_experience(path, small());
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1024 - 30);
  file << "xxh3-64 of the lines above: ";
  file.close();
  test::expect_error(errc::bad_file, "it is damaged", [&] { read_summary(path); });
  test::expect_error(errc::bad_file, "it is damaged", [&] { read_experience(path); });
}

TEST(ExperienceTest, TwoFilesOfAnIterationAreRefusedByName) {
  const temporary_folder folder;
  for (const char* name : {"iteration-000001.h5", "iteration-000002.h5", "iteration-1.h5"}) {
    std::ofstream(folder / name) << "stored";
  }
  test::expect_error(errc::bad_argument, "iteration-000001.h5 and iteration-1.h5 are of one iteration",
                     [&] { experience_files(folder.path()); });
  test::expect_error(errc::bad_argument, "are of one iteration", [&] { find_experience(folder.path()); });
  fs::remove(folder / "iteration-1.h5");
  EXPECT_EQ(experience_files(folder.path()).size(), 2U);
}

TEST(ExperienceTest, APipeIsRefusedAndNotWaitedFor) {
  const temporary_folder folder;
  ASSERT_EQ(::mkfifo((folder / "iteration-1.h5").c_str(), 0600), 0);
  test::expect_error(errc::io_failure, "it is not a regular file", [&] { read_summary(folder / "iteration-1.h5"); });
  test::expect_error(errc::io_failure, "it is not a regular file", [&] { read_experience(folder / "iteration-1.h5"); });
}

TEST(ExperienceTest, AFolderThatCannotBeListedIsNotAnEmptyOne) {
  const temporary_folder folder;
  EXPECT_TRUE(experience_files(folder / "none").empty());
  std::ofstream(folder / "file") << "no folder";
  test::expect_error(errc::io_failure, "cannot list", [&] { experience_files(folder / "file"); });
}

/// Bytes of a file of two sequences without text whose prompts and answers have so many tokens.
uintmax_t stored_bytes(const fs::path& path, int64_t prompt, int64_t answer) {
  experience e = small(false);
  const int64_t sequences = 2;
  const auto all = static_cast<size_t>(sequences * answer);
  e.sequence_id_B = e.prompt_id_B = e.group_B = {1, 2};
  e.source_B = {0, 0};
  e.finished_B = {1, 1};
  e.reward_raw_BS.assign(4, 0.5F);
  e.token_N.assign(static_cast<size_t>(sequences * (prompt + answer)), 7);
  e.sequence_offset_B1 = {0, prompt + answer, 2 * (prompt + answer)};
  e.answer_offset_B1 = {0, answer, 2 * answer};
  e.logprob_old_A.assign(all, -1);
  e.logprob_ref_A = e.value_A = e.reward_shaped_A = e.advantage_A = e.logprob_old_A;
  write_experience(path, e);
  return fs::file_size(path);
}

TEST(ExperienceTest, AnAnswerTokenCosts24BytesAndAPromptToken4) {
  const temporary_folder folder;
  const auto bytes = [&](int64_t prompt, int64_t answer) { return stored_bytes(folder / "a.h5", prompt, answer); };
  const uintmax_t base = bytes(1000, 1000);
  EXPECT_EQ(bytes(1000, 2000) - base, 2 * 1000 * 24U);
  EXPECT_EQ(bytes(2000, 1000) - base, 2 * 1000 * 4U);
  EXPECT_LT(base - 2 * (1000 * 24U + 1000 * 4U), 16384U) << "what a file costs besides";
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
  bad("group", [](auto& e) { e.group_B.push_back(3); });
  bad("sequences 0 and 2 are of group 77, and of two prompts", [](auto& e) { e.group_B[2] = 77; });
  bad("behaviour", [](auto& e) { e.logprob_old_A.clear(); });
  bad("behaviour", [](auto& e) { e.behaviour = behaviour_source::unknown; });
  bad("value has 2", [](auto& e) { e.value_A.pop_back(); });
  bad("reward_weight", [](auto& e) { e.reward_weight_S.pop_back(); });
  bad("reward_raw[3]", [](auto& e) { e.reward_raw_BS[3] = std::numeric_limits<float>::infinity(); });
  bad("sequence 0 has no score (its raw reward is NaN), and its reward_shaped",
      [](auto& e) { e.reward_raw_BS[0] = nan; });
  bad("kl_coefficient", [](auto& e) { e.shaping->kl_coefficient = nan; });
  bad("prompt_id", [](auto& e) { e.prompt_id_B.pop_back(); });
  bad("sequence_id[0]", [](auto& e) { e.sequence_id_B[1] = 3; });
  bad("sequence_offset[2]", [](auto& e) { e.sequence_offset_B1[2] = 1; });
  bad("sequence_offset", [](auto& e) { e.sequence_offset_B1[0] = 1; });
  bad("logprob_old has 3 entries, not 4", [](auto& e) { e.answer_offset_B1[3] = 4; });
  bad("sequence 0", [](auto& e) {
    e.answer_offset_B1 = {0, 1, 1, 3};
    e.sequence_offset_B1 = {0, 0, 5, 7};
  });
  bad("source[2]", [](auto& e) { e.source_B[2] = 2; });
  bad("finished[1]", [](auto& e) { e.finished_B[1] = 2; });
  bad("token[0]", [](auto& e) { e.token_N[0] = -1; });
  bad("logprob_old[1]", [](auto& e) { e.logprob_old_A[1] = nan; });
  bad("logprob_ref[0]", [](auto& e) { e.logprob_ref_A[0] = 0.5F; });
  bad("advantage[2]", [](auto& e) { e.advantage_A[2] = nan; });
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

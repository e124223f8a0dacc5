/// Checkpoints: folders <root>/<phase>/<unit>-NNNNNN with one HDF5 file per rank, checkpoint.h5
/// (virtual data sets that show whole arrays to any HDF5 tool) and manifest.json. The manifest is
/// written last: a checkpoint exists when it does.
#pragma once

#include "base/keys.hpp"
#include "io/files/attempt_fence.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// One array, or the part of it that this rank holds: the flat range [begin, end) of the row-major
/// whole.
struct checkpoint_array {
  std::string name;            ///< "policy/weights/layers.0.attention.qkv.weight", "policy/first_moment/..."
  std::vector<int64_t> shape;  ///< of the whole
  int64_t begin = 0;
  int64_t end = -1;               ///< negative: to the end of the whole
  std::span<const float> values;  ///< the range; empty where `fill` gives it
  /// Writes the values [offset, offset + out.size()) of the whole to `out`; called in order, a
  /// piece at a time.
  std::function<void(int64_t offset, std::span<float> out)> fill;
};

/// All that a rank puts into its file. A name is that of one thing: an array, an integer, a real or
/// a text; it must not be a folder of another ("a" beside "a/b").
struct checkpoint_content {
  std::vector<checkpoint_array> arrays;
  std::map<std::string, int64_t> integers;
  std::map<std::string, double> reals;
  std::map<std::string, std::string> texts;  ///< UTF-8 without NUL
};

struct checkpoint_file {
  std::string name;  ///< within the checkpoint's folder
  int64_t bytes = 0;
  std::string digest;  ///< XXH3-64, sixteen hexadecimal digits
};

/// Writes rank's file, complete or not at all; a manifest that lies in the folder is removed first,
/// since what it says is about to become untrue. Any rank writes at any time; the returned entry
/// goes to who commits.
/// Errors  bad_argument (content), io_failure, those of the fence (nothing has its final name then).
checkpoint_file write_checkpoint(const std::filesystem::path& folder, const checkpoint_content& content, int rank,
                                 int ranks, const attempt_fence& fence);

struct checkpoint_manifest {
  int64_t attempt = 0;
  std::string phase;
  std::string unit;  ///< "update" or "iteration": what `counter` counts
  int64_t counter = 0;
  int ranks = 1;
  key_map counters;                            ///< further counters and scores of the caller's; shown by inspect
  std::map<std::string, std::string> digests;  ///< of "job", of models by name, of data by name
  std::vector<checkpoint_file> files;          ///< ranks' files in their order; commit_checkpoint adds checkpoint.h5
};

/// Writes checkpoint.h5 and then the manifest. After it returns the checkpoint is durable.
/// Errors  bad_argument (files do not match ranks), bad_file (a rank's file is not what its entry
/// says, or the ranks' arrays do not cover a whole), io_failure, those of the fence.
void commit_checkpoint(const std::filesystem::path& folder, checkpoint_manifest manifest, const attempt_fence& fence);

/// Manifest bytes, checked against themselves (the last key digests the rest). `where` names them
/// in errors.
/// Errors  bad_file, unsupported (a newer format).
checkpoint_manifest parse_manifest(std::string_view bytes, const std::string& where);
std::string manifest_text(const checkpoint_manifest& manifest);
checkpoint_manifest read_manifest(const std::filesystem::path& folder);

/// Reads sizes and digests of all files, several at a time.
/// Errors  not_found, bad_file (names the file and both values).
void verify_checkpoint(const std::filesystem::path& folder, const checkpoint_manifest& manifest);

/// A file that is not what its entry says.
struct damaged_file {
  int64_t index = 0;    ///< among the manifest's
  std::string problem;  ///< names the file and both values
};

/// The same for every `step`-th file from `first` on, so that ranks can share the work: the first file with a problem.
/// Errors  io_failure: a file cannot be read here, which does not say that it is damaged.
std::optional<damaged_file> find_damage(const std::filesystem::path& folder, std::span<const checkpoint_file> files,
                                        int64_t first, int64_t step);

/// A committed checkpoint, read by any number of ranks. Sizes of all files are checked on opening;
/// a rank's file is digested when something of it is first read (unless `verified`: the caller ran
/// verify_checkpoint), so a rank reads only what it needs. Not thread-safe.
class checkpoint_reader {
public:
  explicit checkpoint_reader(std::filesystem::path folder, bool verified = false);
  ~checkpoint_reader();
  checkpoint_reader(checkpoint_reader&&) noexcept;

  const checkpoint_manifest& manifest() const;

  /// Names of the arrays, sorted, and their whole shapes.
  std::vector<std::string> array_names() const;
  bool has_array(const std::string& name) const;
  const std::vector<int64_t>& shape(const std::string& name) const;

  /// The values [begin, begin + out.size()) of the row-major whole, whatever ranks wrote them.
  /// Errors  not_found, shape_mismatch (the range leaves the array), bad_file.
  void read(const std::string& name, int64_t begin, std::span<float> out) const;
  std::vector<float> read(const std::string& name) const;

  /// The rank that wrote the beginning of an array.
  /// Errors  not_found.
  int writer(const std::string& name) const;

  /// What rank `rank` wrote.
  /// Errors  not_found.
  int64_t integer(const std::string& name, int rank = 0) const;
  double real(const std::string& name, int rank = 0) const;
  std::string text(const std::string& name, int rank = 0) const;
  bool has(const std::string& name, int rank = 0) const;

  /// Names of everything of a rank's that is no array: integers, reals and texts.
  std::vector<std::string> scalar_names(int rank = 0) const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// checkpoints_root/phase/unit-NNNNNN.
std::filesystem::path checkpoint_folder(const std::filesystem::path& checkpoints_root, const std::string& phase,
                                        const std::string& unit, int64_t counter);

struct found_checkpoint {
  std::filesystem::path folder;
  checkpoint_manifest manifest;
};

/// Those with a manifest of the right files and sizes, by counter, ascending; contents are not
/// digested. What is wrong with others that have a manifest is appended to `problems`, where given.
std::vector<found_checkpoint> list_checkpoints(const std::filesystem::path& checkpoints_root, const std::string& phase,
                                               std::vector<std::string>* problems = nullptr);

/// A checkpoint that may be the one to resume from.
struct checkpoint_candidate {
  std::filesystem::path folder;
  int64_t counter = 0;
  std::vector<checkpoint_file> files;  ///< of the right sizes; their contents are still to be looked at
  std::string problem;                 ///< not empty: manifest or sizes are wrong, and it is to be passed over
};

/// The newest one before `counter`. An unfinished one (without manifest) is no problem, but absent.
/// Errors  io_failure: cannot be read, which does not say that it is damaged or absent.
std::optional<checkpoint_candidate> newest_checkpoint(const std::filesystem::path& checkpoints_root,
                                                      const std::string& phase,
                                                      int64_t counter = std::numeric_limits<int64_t>::max());

/// Keeps the newest `keep` (at least 1) and `best` (a folder, where given), and removes the other
/// committed ones and older unfinished ones. A removed folder loses its name first, so that
/// no half of a checkpoint is ever taken for one.
void prune_checkpoints(const std::filesystem::path& checkpoints_root, const std::string& phase, int64_t keep,
                       const attempt_fence& fence, const std::optional<std::filesystem::path>& best = std::nullopt);

/// Removes all, finished or not, of a phase beyond `counter`: on resume from an earlier one.
void remove_checkpoints_after(const std::filesystem::path& checkpoints_root, const std::string& phase, int64_t counter,
                              const attempt_fence& fence);

}  // namespace troupe::io

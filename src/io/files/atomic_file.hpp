/// Files and folders that appear complete or not at all, whatever kills the writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace troupe::io {

/// A file in the making: written to `<target>.tmp`, or to a place of the caller's on the same file system, which
/// commit() makes durable and renames to `target`.
///   write -> fsync -> rename -> fsync of the folder
/// A reader sees the old file or the whole new one. Without commit() the temporary file is removed;
/// one that a killed process left is overwritten by the next writer. Two writers of one target: the
/// second is refused.
/// Errors  io_failure, naming the path, the bytes and the system's reason (disk full among them).
class atomic_file {
public:
  explicit atomic_file(std::filesystem::path target);
  atomic_file(std::filesystem::path target, std::filesystem::path workplace);
  ~atomic_file();
  atomic_file(atomic_file&& other) noexcept;
  atomic_file& operator=(atomic_file&&) = delete;

  /// Appends after the last append.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  /// Writes at an offset of the caller's, leaving the append position alone.
  void write_at(int64_t offset, std::span<const std::byte> bytes);

  /// Bytes appended so far.
  int64_t written() const { return written_; }
  const std::filesystem::path& target() const { return target_; }

  void commit();

private:
  std::filesystem::path target_, workplace_;
  int descriptor_ = -1;
  int64_t written_ = 0;
};

void write_file_atomically(const std::filesystem::path& target, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& target, std::string_view text);

/// A folder in the making: its files are written below staging(), and commit() makes all of them durable and puts the
/// folder in `target`'s place. A folder that was there when the making began is replaced as a whole, so whoever names
/// the target must know that it may be removed; one that has come there since is not. The exchange is one step where
/// the file system can (RENAME_EXCHANGE), else two: a writer killed between them leaves both folders whole beside the
/// target. staging() is new, beside the target, of a name that nothing else has; without commit() it is removed, and a
/// killed writer leaves it. With a staging folder of the caller's, what lies there is removed: the caller must own that
/// place.
/// Errors  io_failure.
class atomic_folder {
public:
  explicit atomic_folder(const std::filesystem::path& target);
  atomic_folder(const std::filesystem::path& target, std::filesystem::path staging);
  ~atomic_folder();
  atomic_folder(const atomic_folder&) = delete;
  atomic_folder& operator=(const atomic_folder&) = delete;

  const std::filesystem::path& staging() const { return staging_; }
  void commit();

private:
  void require_no_file() const;
  void discard() const;
  void replace_in_two_steps() const;

  std::filesystem::path target_;
  bool replaces_ = false;
  std::filesystem::path staging_;
};

/// Removes every folder in the making of this process, for one that is about to end by a signal. From then on commit()
/// does not return: what comes after it is never reached with a folder half removed. Any thread may call it.
void discard_unfinished_folders();

/// Makes what was written to a file durable.
/// Errors  io_failure.
void sync_file(const std::filesystem::path& file);

/// Makes renames and removals in `folder` durable.
void sync_folder(const std::filesystem::path& folder);

}  // namespace troupe::io

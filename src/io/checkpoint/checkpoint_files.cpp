#include "io/checkpoint/checkpoint_files.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>

namespace troupe::io {

namespace fs = std::filesystem;

std::string rank_file_name(int64_t rank) { return fmt::format("rank-{:05}.h5", rank); }

/// By read and not by mapping: a file that is cut short meanwhile then gives an error, not a
/// signal.
checkpoint_file measure_file(const fs::path& folder, const std::string& name) {
  const fs::path path = folder / name;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw error(errno == ENOENT ? errc::not_found : errc::io_failure, "cannot read {}: {}", path.string(),
                std::strerror(errno));
  }
  std::vector<std::byte> buffer(size_t{1} << 20);
  digest_stream digest;
  checkpoint_file entry{name, 0, ""};
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      const int reason = errno;
      ::close(descriptor);
      if (count < 0) {
        throw error(errc::io_failure, "cannot read {} at byte {}: {}", path.string(), entry.bytes,
                    std::strerror(reason));
      }
      break;
    }
    digest.update(std::span(buffer).first(static_cast<size_t>(count)));
    entry.bytes += count;
  }
  entry.digest = digest_text(digest.value());
  return entry;
}

void check_size(const fs::path& folder, const checkpoint_file& entry) {
  const fs::path path = folder / entry.name;
  std::error_code failure;
  const auto size = static_cast<int64_t>(fs::file_size(path, failure));
  if (failure) {
    const bool missing = failure == std::errc::no_such_file_or_directory;
    throw error(missing ? errc::not_found : errc::io_failure, "cannot read {}: {}", path.string(), failure.message());
  }
  if (size != entry.bytes) {
    throw error(errc::bad_file, "{} has {} bytes, its manifest says {}: the file is damaged", path.string(), size,
                entry.bytes);
  }
}

void check_file(const fs::path& folder, const checkpoint_file& entry) {
  check_size(folder, entry);
  const checkpoint_file found = measure_file(folder, entry.name);
  if (found.digest != entry.digest) {
    throw error(errc::bad_file, "{} has digest {}, its manifest says {}: the file is damaged",
                (folder / entry.name).string(), found.digest, entry.digest);
  }
}

/// What is wrong with every `step`-th file from `first` on, by index; null where nothing is.
static std::vector<std::exception_ptr> check_files(const fs::path& folder, std::span<const checkpoint_file> files,
                                                   size_t first, size_t step) {
  std::vector<std::exception_ptr> failures(files.size());
  std::atomic<size_t> next{first};
  const auto check_some = [&] {
    for (size_t i = next.fetch_add(step); i < files.size(); i = next.fetch_add(step)) {
      try {
        check_file(folder, files[i]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  const size_t cores = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::jthread> others;
  for (size_t i = 1; i < std::min(cores, (files.size() + step - 1) / step); ++i) {
    try {
      others.emplace_back(check_some);
    } catch (const std::system_error&) {  // no further thread is to be had: those that are there do it
      break;
    }
  }
  check_some();
  others.clear();  // joins
  return failures;
}

void verify_checkpoint(const fs::path& folder, const checkpoint_manifest& manifest) {
  for (const std::exception_ptr& failure : check_files(folder, manifest.files, 0, 1)) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

bool is_damage(const fs::path& folder, const error& failure) {
  std::error_code ignored;
  return failure.code() == errc::bad_file ||
         (failure.code() == errc::not_found && fs::exists(folder / manifest_name, ignored));
}

std::optional<damaged_file> find_damage(const fs::path& folder, std::span<const checkpoint_file> files, int64_t first,
                                        int64_t step) {
  const auto failures = check_files(folder, files, static_cast<size_t>(first), static_cast<size_t>(step));
  for (size_t i = 0; i < failures.size(); ++i) {
    if (failures[i]) {
      try {
        std::rethrow_exception(failures[i]);
      } catch (const error& failure) {
        if (!is_damage(folder, failure)) {
          throw error(errc::io_failure, "{}; nothing says that the file is damaged: is the file system there?",
                      failure.what());
        }
        return damaged_file{.index = static_cast<int64_t>(i), .problem = failure.what()};
      }
    }
  }
  return std::nullopt;
}

}  // namespace troupe::io

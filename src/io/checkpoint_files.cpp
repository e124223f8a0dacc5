#include "io/checkpoint_files.hpp"

#include "kernels/base/digest.hpp"
#include "kernels/base/error.hpp"

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
    throw error(errc::not_found, "cannot read {}: {}", path.string(), failure.message());
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

void verify_checkpoint(const fs::path& folder, const checkpoint_manifest& manifest) {
  std::vector<std::exception_ptr> failures(manifest.files.size());
  std::atomic<size_t> next{0};
  const auto check_some = [&] {
    for (size_t i = next++; i < manifest.files.size(); i = next++) {
      try {
        check_file(folder, manifest.files[i]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    const size_t cores = std::max(1U, std::thread::hardware_concurrency());
    for (size_t i = 1; i < std::min(cores, manifest.files.size()); ++i) {
      others.emplace_back(check_some);
    }
    check_some();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

}  // namespace troupe::io

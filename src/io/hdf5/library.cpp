#include "io/hdf5/library.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"
#include "io/hdf5/version.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>

namespace troupe::io::h5 {
namespace {

thread_local bool in_library = false;  ///< this thread has the lock

std::mutex& process_mutex() {
  static std::mutex the_mutex;
  // Called by the thread that ends the process.
  [[maybe_unused]] static const int end_is_told = std::atexit([] {
    if (in_library) {
      std::terminate();
    }
  });
  // A file whose close fails (full disk) stays in HDF5's table although its memory is gone, and HDF5's cleanup at
  // exit would close it again and crash (HDFGroup/hdf5 pull request 2291). We close every file ourselves.
  [[maybe_unused]] static const herr_t no_cleanup_at_exit = H5dont_atexit();
  // A file must not make this process load a program, and a filter that HDF5 lacks is one.
  [[maybe_unused]] static const herr_t no_plugins = H5PLset_loading_state(0);
  return the_mutex;
}

/// The innermost entry of the error stack, which has the cause, and the outermost, which has the
/// operation.
struct stack_text {
  std::string inner, outer;
};

herr_t collect(unsigned, const H5E_error2_t* entry, void* data) {
  auto* text = static_cast<stack_text*>(data);
  const char* description = entry->desc == nullptr ? "" : entry->desc;
  if (text->inner.empty()) {
    text->inner = description;
  }
  text->outer = description;
  return 0;
}

}  // namespace

library_lock::library_lock() : lock_(process_mutex()) {
  in_library = true;
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5Eclear2(H5E_DEFAULT);
}

library_lock::~library_lock() { in_library = false; }

/// HDF5 reports system errors as "..., errno = 28, error message = 'No space left on device', buf =
/// 0x...".
std::string failure_reason() {
  stack_text text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  const std::string marker = "errno = ";
  const size_t found = text.inner.find(marker);
  if (found != std::string::npos) {
    text.inner = system_reason(std::atoi(text.inner.c_str() + found + marker.size()));
  }
  return text.outer == text.inner ? text.inner : text.inner + " (" + text.outer + ")";
}

void place::fail() const {
  throw error(writing ? errc::io_failure : errc::bad_file, "cannot {} '{}' of {}: {}", action, object, file.string(),
              failure_reason());
}

}  // namespace troupe::io::h5

namespace troupe::io {

std::string hdf5_version() {
  const h5::library_lock lock;
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  return H5get_libversion(&major, &minor, &release) < 0 ? "unknown" : fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace troupe::io

/// What every call of HDF5 needs: the lock of the process, handles that close themselves, and errors with HDF5's own
/// reason. Internal to io/hdf5.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

namespace troupe::io::h5 {

/// One call at a time. Debian's serial HDF5 sees to that itself, other builds do not. HDF5 keeps its error stack, and
/// whether to print it, for each thread: so printing is turned off whenever the lock is taken.
///
/// HDF5 calls exit(-1), without a word, where it gets no memory for an identifier: under the lock that is
/// std::terminate, which a program can have told.
class library_lock {
public:
  library_lock();
  ~library_lock();
  library_lock(const library_lock&) = delete;
  library_lock& operator=(const library_lock&) = delete;

private:
  std::lock_guard<std::mutex> lock_;
};

/// An HDF5 identifier with the function that closes it; a negative one is none.
class handle {
public:
  using closer = herr_t (*)(hid_t);
  handle(hid_t id, closer close) : id_(id), close_(close) {}
  handle(handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  handle& operator=(handle&&) = delete;
  ~handle() {
    if (id_ >= 0) {
      close_(id_);
    }
  }
  operator hid_t() const { return id_; }  // NOLINT: to be passed to HDF5 as it is

private:
  hid_t id_;
  closer close_;
};

/// Why the last call of this thread failed; empties HDF5's error stack.
std::string failure_reason();

/// What is being done to which object of which file, for errors.
struct place {
  const std::filesystem::path& file;
  bool writing = false;  ///< fails with io_failure, else with bad_file
  const char* action = "";
  const std::string& object;

  [[noreturn]] void fail() const;

  /// What HDF5 returned, if it is no failure.
  hid_t check_id(hid_t id) const {
    if (id < 0) {
      fail();
    }
    return id;
  }
  void check(herr_t status) const {
    if (status < 0) {
      fail();
    }
  }
};

}  // namespace troupe::io::h5

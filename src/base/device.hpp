/// A card that computes, as the rest of the program sees it. What stands behind it is the CUDA module, or a card that
/// the tests emulate on the host.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

namespace kernels {
struct device_ops;
}

struct device_facts {
  std::string name;       ///< "NVIDIA H100 80GB HBM3"
  std::string driver;     ///< of the card, "580.65"
  std::string libraries;  ///< "CUDA 13.0, cuBLAS 13.1.0"
  int major = 0, minor = 0, multiprocessors = 0;
  int64_t bytes = 0;  ///< of its memory
  std::string lacks;  ///< what of it does not work here, for one who runs on it; empty: nothing
};

/// Each runs its work in the order of its calls.
enum class queue : uint8_t { compute, upload, download, wire };

/// A moment in a queue: the work called before it is done. 0: the beginning, which has passed.
using mark = uint64_t;

/// What of a card's memory is whose.
struct memory_use {
  struct holder {
    std::string name;
    int64_t bytes = 0;
  };
  std::vector<holder> holders;  ///< of mapped pages, by the names that `reserve` was given
  int64_t free = 0;             ///< bytes that could be mapped
  int64_t others = 0;           ///< bytes that other processes hold
};

/// Host memory that a card copies from and to without waiting.
class pinned_memory {
public:
  virtual ~pinned_memory() = default;
  virtual std::byte* data() = 0;
  virtual int64_t bytes() const = 0;
};

/// A sequence of kernel calls with their arguments, which starts as one.
class recording {
public:
  virtual ~recording() = default;
  virtual void replay() = 0;  ///< in the compute queue
};

/// What somebody keeps with a card for as long as it lives: it ends before the card does.
class kept_with_device {
public:
  virtual ~kept_with_device() = default;
};

/// Errors  device_failure: the card cannot go on; every later call fails alike. Kernels: one thread at a time.
class device {
public:
  virtual ~device() = default;
  virtual const device_facts& facts() const = 0;
  virtual const kernels::device_ops& ops() const = 0;

  // Memory. A range keeps its address for life; its pages come and go, out of one pool.
  /// Addresses for `bytes`, without pages. `holder` is named where memory runs out.
  virtual std::byte* reserve(int64_t bytes, const std::string& holder) = 0;
  /// Gives [at, at + bytes) pages, bounds rounded outwards; what has pages keeps them. Contents are undefined.
  /// Errors  out_of_memory: who holds how much, and what to set.
  virtual void map(std::byte* at, int64_t bytes) = 0;
  /// Takes the pages that lie wholly within, once the work called so far is done.
  virtual void unmap(std::byte* at, int64_t bytes) = 0;
  virtual void free(std::byte* range) = 0;  ///< as reserve returned it
  virtual int64_t page_bytes() const = 0;
  virtual memory_use use() const = 0;
  virtual std::unique_ptr<pinned_memory> pin(int64_t bytes) = 0;

  // Work. Nothing here waits but `finish`.
  /// How long `finish` waits: longer than any work that a card is given at a time.
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }
  std::chrono::milliseconds patience() const { return patience_; }
  virtual void copy(queue in, void* to, const void* from, int64_t bytes) = 0;
  virtual void zero(queue in, void* at, int64_t bytes) = 0;
  virtual mark record(queue in) = 0;
  virtual void await(queue in, mark moment) = 0;  ///< the queue waits, the host does not
  /// The host waits.
  /// Errors  device_failure: the card is not there yet when patience ends. It does nothing any more.
  virtual void finish(mark moment) = 0;
  /// What `calls` call is recorded, not done.
  virtual std::unique_ptr<recording> record_calls(const std::function<void()>& calls) = 0;

  /// The engine keeps its scratch memory here.
  kept_with_device* kept() const { return kept_.get(); }
  void keep(std::unique_ptr<kept_with_device> what) { kept_ = std::move(what); }

protected:
  void drop_kept() { kept_.reset(); }  ///< for destructors of those who implement a card

private:
  std::unique_ptr<kept_with_device> kept_;
  std::chrono::milliseconds patience_ = std::chrono::minutes(10);
};

}  // namespace troupe

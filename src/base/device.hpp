/// A card that computes, as the rest of the program sees it. What stands behind it is the CUDA module, or a card that
/// the tests emulate on the host.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
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
  std::string uuid;   ///< of the card, whatever a process calls it; empty: not known
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
  int64_t left_to_driver = 0;   ///< bytes that are not mapped though nobody holds them: the driver may need them
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

/// What one of a group of cards' ranks makes, and the others are told, so that they find each other.
using wire_id = std::vector<std::byte>;

/// What moves bytes between the memory of a group of cards, one for each rank, past the host. Calls put work into the
/// wire queue of the rank's card, where it is done when all ranks that it concerns have it there. All ranks make their
/// calls in the same order, those of several wires of one card included. One thread at a time, but for `failure`.
/// Errors  device_failure: a call is refused; lost_peer.
class wire {
public:
  /// Bytes that a rank is sent, or that come from it.
  struct message {
    int peer = 0;
    std::byte* at = nullptr;
    int64_t bytes = 0;  ///< above 0, and the same at the peer
  };

  virtual ~wire() = default;
  /// All of them as one. The k-th message to a rank is what it receives as its k-th from this one, also in further
  /// calls. What is sent is not written.
  virtual void exchange(std::span<const message> sends, std::span<const message> receives) = 0;
  /// Rank r has [offset_R1[r], offset_R1[r + 1]) of `whole`, in bytes; afterwards all have all of it.
  virtual void all_gather(std::byte* whole, std::span<const int64_t> offset_R1) = 0;
  virtual void broadcast(std::byte* at, int64_t bytes, int root) = 0;
  /// What has gone wrong since, so that work does not end; empty: nothing. From any thread, also beside a call.
  virtual std::string failure() = 0;
  /// Ends what is under way, wherever it stands, from any thread. It may hang. Nothing but the end follows it.
  virtual void abort() = 0;
};

/// What somebody keeps with a card for as long as it lives: it ends before the card does.
class kept_with_device {
public:
  virtual ~kept_with_device() = default;
};

/// What the engine keeps there.
enum class kept_thing : uint8_t { wires, workspace };

/// Errors  device_failure: the card cannot go on; every later call fails alike. Kernels: one thread at a time.
class device {
public:
  virtual ~device() = default;
  virtual const device_facts& facts() const = 0;
  virtual const kernels::device_ops& ops() const = 0;

  // Memory. A range keeps its address for life; its pages come and go, out of one pool.
  /// Addresses for `bytes`, without pages. `holder` is named where memory runs out.
  virtual std::byte* reserve(int64_t bytes, const std::string& holder) = 0;
  /// Gives [at, at + bytes) pages, bounds rounded outwards; what has pages keeps them. Contents are undefined. A
  /// page just unmapped may come back while work that was called before still uses it: use it in a queue that follows
  /// that work.
  /// Errors  out_of_memory: who holds how much, and what to set.
  virtual void map(std::byte* at, int64_t bytes) = 0;
  /// Takes the pages that lie wholly within, once the work called so far is done.
  virtual void unmap(std::byte* at, int64_t bytes) = 0;
  virtual void free(std::byte* range) = 0;  ///< as reserve returned it
  virtual int64_t page_bytes() const = 0;
  virtual memory_use use() const = 0;
  virtual std::unique_ptr<pinned_memory> pin(int64_t bytes) = 0;

  // Work. Nothing here waits but `finish`, and `join` below.
  /// How long `finish` waits: longer than any work that a card is given at a time. While a wire waits for other ranks,
  /// which whoever watches it tells, the time does not count: there are deadlines of theirs.
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }
  std::chrono::milliseconds patience() const { return patience_; }
  void set_waits_for_others(bool waits) { waits_for_others_.store(waits); }
  bool waits_for_others() const { return waits_for_others_.load(); }
  /// With memory of the host that is not pinned the call may itself wait for the work before it, and no patience ends
  /// that: `finish` that work first.
  virtual void copy(queue in, void* to, const void* from, int64_t bytes) = 0;
  virtual void zero(queue in, void* at, int64_t bytes) = 0;
  virtual mark record(queue in) = 0;
  virtual void await(queue in, mark moment) = 0;  ///< the queue waits, the host does not
  /// Whether it has passed. Waits for nobody, whatever other threads are doing with the card.
  virtual bool passed(mark moment) = 0;
  /// The host waits.
  /// Errors  device_failure: the card is not there yet when patience ends. It does nothing any more.
  virtual void finish(mark moment) = 0;
  /// What `calls` call is recorded, not done.
  virtual std::unique_ptr<recording> record_calls(const std::function<void()>& calls) = 0;

  // Other cards.
  /// Why this card has no wire to cards of other processes, with its name, in a line; empty: it can have one.
  virtual std::string why_no_wire() = 0;
  /// Errors  unsupported: there is no wire; device_failure.
  virtual wire_id new_wire_id() = 0;
  /// This rank's end of a wire, which ends before the card. All ranks of the group join with the same id. `name` is
  /// for errors.
  /// Errors  lost_peer: not all have joined at the deadline; unsupported; device_failure.
  virtual std::unique_ptr<wire> join(const wire_id& id, int rank, int ranks, const std::string& name,
                                     std::chrono::milliseconds deadline) = 0;

  kept_with_device* kept(kept_thing which) const { return kept_[static_cast<size_t>(which)].get(); }
  void keep(kept_thing which, std::unique_ptr<kept_with_device> what) {
    kept_[static_cast<size_t>(which)] = std::move(what);
  }

protected:
  void drop_kept() {  ///< for destructors of those who implement a card
    for (std::unique_ptr<kept_with_device>& one : kept_) {
      one.reset();
    }
  }

private:
  std::array<std::unique_ptr<kept_with_device>, 2> kept_;
  std::chrono::milliseconds patience_ = std::chrono::minutes(10);
  std::atomic<bool> waits_for_others_ = false;
};

}  // namespace troupe

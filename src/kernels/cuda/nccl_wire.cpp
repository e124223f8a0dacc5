#include "kernels/cuda/nccl_wire.hpp"

#include "base/error.hpp"
#include "kernels/cuda/failure.hpp"
#include "kernels/cuda/nccl_library.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

namespace troupe::kernels::cuda {

namespace {

using std::chrono_literals::operator""us;
using clock = std::chrono::steady_clock;

constexpr auto nap = 50us;

/// Time for what is left to arrive where a wire ends.
constexpr std::chrono::seconds patience_at_the_end{10};

const nccl_library& required() {
  if (const nccl_library& library = nccl(); !library.why_none.empty()) {
    throw error(errc::unsupported, library.why_none);
  }
  return nccl();
}

/// A card is named where it is the one that fails: then it is counted. What a peer's death looks like depends on where
/// it is met.
[[noreturn]] void fail(int card, ncclResult_t result, const std::string& words, const std::string& doing) {
  switch (result) {
  case ncclUnhandledCudaError:
    throw error(errc::device_failure, "{}: NCCL: {}{}", called(card), words, doing);
  case ncclRemoteError:
  case ncclSystemError:
  case ncclInternalError:
    throw error(errc::lost_peer, "NCCL: {}{}", words, doing);
  default:
    throw error(errc::device_failure, "NCCL: {}{}", words, doing);
  }
}

/// Calls of a communicator that does not block go on behind the host's back: this waits until the last is through.
/// False: not at the deadline.   `gone`: it is aborted, by another thread, and must not be asked any more.
bool settle(ncclComm_t of, ncclResult_t& result, clock::time_point deadline, const std::atomic<bool>* gone = nullptr) {
  while (result == ncclInProgress) {
    if (clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(nap);
    if (gone != nullptr && *gone) {
      throw error(errc::lost_peer, "NCCL: aborted");
    }
    if (const ncclResult_t asked = nccl().get_async_error(of, &result); asked != ncclSuccess) {
      result = asked;
    }
  }
  return true;
}

class nccl_wire final : public wire {
public:
  nccl_wire(int card, cudaStream_t queue, ncclComm_t joined, int ranks, int rank)
      : card_(card), queue_(queue), ranks_(ranks), rank_(rank), joined_(joined) {}

  /// What is on its way to others may need this end still.
  ~nccl_wire() override {
    if (aborted_ || has_failed(card_)) {  // one that hangs would be waited for
      return;
    }
    const nccl_library& library = nccl();
    try {
      use_card(card_);
      ncclResult_t result = library.finalize(joined_);
      if (settle(joined_, result, clock::now() + patience_at_the_end) && result == ncclSuccess) {
        library.destroy(joined_);
        return;
      }
    } catch (const error&) {  // of a card that has failed
    }
    library.abort(joined_);
  }
  nccl_wire(const nccl_wire&) = delete;
  nccl_wire& operator=(const nccl_wire&) = delete;

  void exchange(std::span<const message> sends, std::span<const message> receives) override {
    as_one([&](const nccl_library& library) {
      for (const message& one : sends) {
        require(library.send(one.at, static_cast<size_t>(one.bytes), ncclUint8, one.peer, joined_, queue_),
                ", when bytes were sent");
      }
      for (const message& one : receives) {
        require(library.receive(one.at, static_cast<size_t>(one.bytes), ncclUint8, one.peer, joined_, queue_),
                ", when bytes were received");
      }
    });
  }

  /// Parts of different sizes come each from its rank: across hosts each byte then goes once along a ring.
  void all_gather(std::byte* whole, std::span<const int64_t> offset_R1) override {
    const auto bytes_of = [&](size_t r) { return offset_R1[r + 1] - offset_R1[r]; };
    const auto ranks = static_cast<size_t>(ranks_);
    bool equal = true;
    for (size_t r = 1; r < ranks; ++r) {
      equal = equal && bytes_of(r) == bytes_of(0);
    }
    as_one([&](const nccl_library& library) {
      if (equal) {
        require(library.all_gather(whole + offset_R1[static_cast<size_t>(rank_)], whole + offset_R1[0],
                                   static_cast<size_t>(bytes_of(0)), ncclUint8, joined_, queue_),
                ", when parts were gathered");
        return;
      }
      for (size_t r = 0; r < ranks; ++r) {
        if (bytes_of(r) > 0) {
          std::byte* const part = whole + offset_R1[r];
          require(library.broadcast(part, part, static_cast<size_t>(bytes_of(r)), ncclUint8, static_cast<int>(r),
                                    joined_, queue_),
                  ", when parts were gathered");
        }
      }
    });
  }

  void broadcast(std::byte* at, int64_t bytes, int root) override {
    as_one([&](const nccl_library& library) {
      require(library.broadcast(at, at, static_cast<size_t>(bytes), ncclUint8, root, joined_, queue_),
              ", when bytes were broadcast");
    });
  }

  std::string failure() override {
    ncclResult_t state = ncclSuccess;
    if (aborted_) {
      return "";
    }
    const ncclResult_t asked = nccl().get_async_error(joined_, &state);
    const ncclResult_t found = asked != ncclSuccess ? asked : state;
    return found == ncclSuccess || found == ncclInProgress
               ? ""
               : fmt::format("NCCL: {}", nccl_words(nccl(), found, joined_));
  }

  void abort() override {
    if (!aborted_.exchange(true)) {
      nccl().abort(joined_);
    }
  }

private:
  /// `ncclInProgress` in a group: its end tells.
  void require(ncclResult_t result, const char* doing) const {
    if (result != ncclSuccess && result != ncclInProgress) {
      fail(card_, result, nccl_words(nccl(), result, joined_), doing);
    }
  }

  /// Of the first calls some wait until the peers have come, and with them the host; whoever watches ends that.
  template <class Calls> void as_one(const Calls& calls) {
    const nccl_library& library = nccl();
    use_card(card_);
    require(library.group_start(), ", when a group of calls was begun");
    try {
      calls(library);
    } catch (...) {
      library.group_end();
      throw;
    }
    ncclResult_t result = library.group_end();
    settle(joined_, result, clock::time_point::max(), &aborted_);
    require(result, ", when a group of calls was made");
  }

  int card_;
  cudaStream_t queue_;
  int ranks_, rank_;
  ncclComm_t joined_;
  std::atomic<bool> aborted_ = false;
};

}  // namespace

std::string nccl_version(std::string& why_none) {
  why_none = nccl().why_none;
  return nccl().version;
}

wire_id new_nccl_id() {
  ncclUniqueId id{};
  if (const ncclResult_t result = required().get_unique_id(&id); result != ncclSuccess) {
    throw error(errc::device_failure, "NCCL: {}, when a wire was to get its id", nccl_words(nccl(), result, nullptr));
  }
  const auto bytes = std::as_bytes(std::span(id.internal));
  return {bytes.begin(), bytes.end()};
}

std::unique_ptr<wire> join_nccl(int card, cudaStream_t queue, const wire_id& id, int rank, int ranks,
                                const std::string& name, std::chrono::milliseconds deadline) {
  const nccl_library& library = required();
  const std::string doing = fmt::format(", when '{}' was joined on rank {} of {}", name, rank, ranks);
  ncclUniqueId known{};
  if (id.size() != sizeof(known)) {
    throw error(errc::bad_argument, "the id of a wire of NCCL has {} bytes{}", id.size(), doing);
  }
  std::memcpy(&known, id.data(), sizeof(known));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t joined = nullptr;
  ncclResult_t result = library.init_rank(&joined, ranks, known, rank, &config);
  const bool in_time = joined == nullptr || settle(joined, result, clock::now() + deadline);
  if (in_time && result == ncclSuccess) {
    return std::make_unique<nccl_wire>(card, queue, joined, ranks, rank);
  }
  const std::string words = in_time ? nccl_words(library, result, joined) : "";
  if (joined != nullptr) {
    // It may hang, and is of no use any more.
    std::thread([&library, joined] { library.abort(joined); }).detach();
  }
  if (!in_time) {
    throw error(errc::lost_peer, "NCCL: not all ranks came within {} ms{}", deadline.count(), doing);
  }
  fail(card, result, words, doing);
}

}  // namespace troupe::kernels::cuda

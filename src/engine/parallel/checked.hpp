/// What every communicator does with its arguments: checks them, counts them, and makes one record of them. Internal.
#pragma once

#include "engine/parallel/communicator.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::engine {

enum class operation_kind { reduce_scatter, all_gather, all_to_all, broadcast, send, receive };

const char* to_string(operation_kind kind);

/// One rank's call of one operation. Offsets count bytes. What an operation does not use is empty.
struct call {
  operation_kind kind = operation_kind::reduce_scatter;
  int rank = -1;
  int64_t number = 0;               ///< of this communicator's collectives, or of its sends and receives
  const std::byte* from = nullptr;  ///< reduce_scatter: the whole; all_to_all, send
  std::byte* to = nullptr;          ///< reduce_scatter: the part; all_gather: the whole; all_to_all, broadcast, receive
  std::vector<int64_t> from_offset_R1, to_offset_R1;
  int64_t bytes = 0;  ///< broadcast, send, receive; reduce_scatter: of the part
  int64_t width = 1;  ///< bytes of a value
  int peer = -1;      ///< root; receiver of a send, sender of a receive
  int tag = 0;
  std::string label = {};
  std::chrono::milliseconds deadline{0};  ///< 0: the world's
  std::shared_ptr<const void> under_way;  ///< for the count of time: the operation ends when the last holder drops it

  bool collective() const { return kind != operation_kind::send && kind != operation_kind::receive; }
};

/// This rank's place among the members of a group; -1 where there are none.
/// Errors  bad_argument: of world::open.
int place_among(const std::string& name, std::span<const int> members, int rank, int ranks);

/// Checks, counts and times what an implementation then starts.
class checked_communicator : public communicator {
public:
  checked_communicator(std::string name, int rank, int size);
  /// The same ranks, by another way: operations of both are numbered and counted together.
  explicit checked_communicator(const checked_communicator& beside);

  const std::string& name() const { return name_; }
  int rank() const final { return rank_; }
  int size() const final { return size_; }
  pending reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1, std::span<float> part,
                         const operation_options& options) final;
  pending all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                     const operation_options& options) final;
  pending all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                     std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                     const operation_options& options) final;
  pending broadcast(std::span<std::byte> data, int root, const operation_options& options) final;
  pending send(std::span<const std::byte> data, int to, int tag, const operation_options& options) final;
  pending receive(std::span<std::byte> data, int from, int tag, const operation_options& options) final;
  traffic sent() const final;

protected:
  /// "all_gather 3 (segment 0) of 'policy weights' on rank 1 of 4"
  std::string describe(const call& made) const;

private:
  struct counter {
    mutable std::mutex mutex;
    traffic counted;
    int64_t collectives = 0;
    int64_t under_way = 0;                               ///< operations
    std::chrono::steady_clock::time_point busy_since{};  ///< where any is
  };
  class timed;
  class presence;

  virtual std::unique_ptr<pending::operation> start(call made) = 0;

  pending begin(call made, int64_t traffic::*kind, int64_t sent_bytes);
  void check_offsets(const call& made, std::span<const int64_t> offset_R1, size_t size) const;
  void check_peer(const call& made) const;

  std::string name_;
  int rank_, size_;
  std::shared_ptr<counter> counter_;
};

}  // namespace troupe::engine

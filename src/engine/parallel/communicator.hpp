/// A group of ranks and what they can do together. All traffic of tensors between ranks goes through here.
///
/// Use      Every rank of the group calls the same operations in the same order; a call only starts the operation, and
///          `pending::wait` ends it. Buffers belong to the operation until then. Each (model, purpose) has a
///          communicator of its own, so that two parts of a program need not agree on an order between them.
/// Sums     are joined over ranks by a fixed tree, element by element (kernels/join.hpp): the same bits on every rank,
///          for every split into parts and for every implementation.
/// Parts    Part r of an array is its range [offset_R1[r], offset_R1[r + 1]).
/// Failure  A rank that has waited for an operation for longer than its deadline ends, or fails with lost_peer,
///          naming the operation: a collective cannot be cancelled. The time before `wait` does not count, so that an
///          operation may be started long ahead of its use.
/// Misuse   Ranks that call different operations, or with different labels or sizes, get bad_argument or
///          shape_mismatch from `wait` where the implementation can see it (local); with MPI it ends at the deadline.
/// Memory   Arrays are in host memory. Those that lie on cards have a communicator over one of these
///          (parallel/between_cards.hpp).
#pragma once

#include "base/reals.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::engine {

/// An operation under way. Destroying it waits for its end, since its buffers must outlive it.
class pending {
public:
  class operation {
  public:
    virtual ~operation() = default;
    /// Errors  lost_peer.
    virtual void wait() = 0;
  };

  pending() = default;  ///< nothing to wait for
  explicit pending(std::unique_ptr<operation> under_way) : under_way_(std::move(under_way)) {}
  pending(pending&&) noexcept = default;
  pending& operator=(pending&& other) noexcept;
  ~pending();

  /// Returns when the operation has ended on this rank.
  /// Errors  lost_peer: a peer is gone or too late.
  void wait();

private:
  std::unique_ptr<operation> under_way_;
};

/// What a communicator has sent from this rank to others, in bytes, and how long that took. What of the time under
/// way was not waited for is hidden behind compute.
struct traffic {
  int64_t operations = 0;
  int64_t reduced = 0, gathered = 0, other = 0;  ///< bytes sent by reduce_scatter; all_gather; the rest
  double under_way_s = 0;                        ///< at least one operation was, the wait for late peers included
  double waited_s = 0;                           ///< in pending::wait
  int64_t bytes() const { return reduced + gathered + other; }
};

/// What an operation has beside its arguments.
struct operation_options {
  std::string_view label = {};            ///< what it is for, "segment 3": in errors; the same on every rank
  std::chrono::milliseconds deadline{0};  ///< of `wait`; 0: the world's
};

class communicator {
public:
  virtual ~communicator() = default;
  communicator() = default;
  communicator(const communicator&) = delete;
  communicator& operator=(const communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// `part` := this rank's part of the sum over ranks of `whole`. `part` may be that range of `whole`.
  virtual pending reduce_scatter(std::span<const float> whole, std::span<const int64_t> offset_R1,
                                 std::span<float> part, const operation_options& options = {}) = 0;

  /// Each rank holds its own part of `whole`, `size` values; afterwards all hold all of it.
  virtual pending all_gather(reals whole, int64_t size, std::span<const int64_t> offset_R1,
                             const operation_options& options = {}) = 0;
  pending all_gather(std::span<float> whole, std::span<const int64_t> offset_R1,
                     const operation_options& options = {}) {
    return all_gather(whole.data(), static_cast<int64_t>(whole.size()), offset_R1, options);
  }

  /// Rank s's bytes for r arrive at r behind those of the ranks before s. Offsets count bytes.
  virtual pending all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_offset_R1,
                             std::span<std::byte> receive, std::span<const int64_t> receive_offset_R1,
                             const operation_options& options = {}) = 0;

  /// Everyone gets the root's bytes.
  virtual pending broadcast(std::span<std::byte> data, int root, const operation_options& options = {}) = 0;

  /// Point to point; a receive matches the next send of the same tag from that rank, of the same size.
  virtual pending send(std::span<const std::byte> data, int to, int tag, const operation_options& options = {}) = 0;
  virtual pending receive(std::span<std::byte> data, int from, int tag, const operation_options& options = {}) = 0;

  /// What memory of a card reduce_scatters take beside their arrays, where those with these parts (each its offset_R1)
  /// are the most that are under way at a time: it is taken now, so that they find it. They are under way all together,
  /// or two at a time, each called while the one before it is. Not collective.
  /// Errors  out_of_memory.
  virtual void make_room(std::span<const std::span<const int64_t>> /*offset_R1*/) {}

  virtual traffic sent() const = 0;
};

using communicator_ptr = std::shared_ptr<communicator>;

/// `values` := their sum over ranks, on every rank: reduce_scatter, then all_gather.
void all_reduce(communicator& group, std::span<float> values, const operation_options& options = {});

/// Every rank's bytes, by rank; lengths may differ.
std::vector<std::vector<std::byte>> gather_bytes(communicator& group, std::span<const std::byte> mine,
                                                 const operation_options& options = {});

/// Returns when every rank has called it.
void barrier(communicator& group, const operation_options& options = {});

/// The processes of this program, and a source of communicators: every rank opens the same ones in the same order.
class world {
public:
  virtual ~world() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// `name` is for errors: "policy gradients". What belongs to a communicator is freed once all ranks have dropped
  /// theirs, at the next open or at the end.
  virtual communicator_ptr open(const std::string& name) = 0;

  /// Divides the ranks: each gives the members of its own group, itself among them, and gets their communicator, in
  /// which member i has rank i. A rank that is in no group gives none, and gets null. Groups do not overlap. All
  /// ranks of the world take part, as in every open.
  /// Errors  bad_argument: `members` lacks this rank, repeats or is not a rank, or another member gives other members.
  virtual communicator_ptr open(const std::string& name, std::span<const int> members) = 0;
};

/// One rank alone: every operation is done at once. Never touches MPI.
std::unique_ptr<world> solo_world();

/// `ranks` worlds within this process, for tests: each is to be used by a thread of its own.
std::vector<std::unique_ptr<world>> local_worlds(int ranks, std::chrono::milliseconds deadline);

/// The ranks that mpirun or srun started. One thread of this object's, the transport, makes all MPI calls, MPI_Init and
/// MPI_Finalize included; it ends with the last of this object's communicators, and then waits for those of all
/// ranks: a rank that has failed leaves by _Exit instead. Whoever waits above `deadline` (for MPI to start, a minute
/// at least) prints a line that names the operation and ends the process with status 70. One such object per process.
/// Limits  2^31 - 1 values or bytes in one operation.
/// Errors  bad_argument: MPI started another number of ranks than `ranks`, or was already used; unsupported: built
///         without MPI, or an operation above the limit.
std::unique_ptr<world> mpi_world(int ranks, std::chrono::milliseconds deadline);

}  // namespace troupe::engine

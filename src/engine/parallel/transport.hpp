/// The one thread of a process that makes MPI calls, from MPI_Init to MPI_Finalize. Internal: with mpi.cpp the only
/// place that knows MPI.
#pragma once

#define OMPI_SKIP_MPICXX 1  // Open MPI's C++ bindings, gone from the standard
#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace troupe::engine {

class transport {
public:
  /// Nonblocking MPI operations, and what is to be done when they have ended. Both run on the transport's thread.
  class job {
  public:
    virtual ~job() = default;
    /// Appends the requests that it starts.
    virtual void start(std::vector<MPI_Request>& requests) = 0;
    virtual void finish() {}
  };

  /// Returns when MPI has started.
  /// Errors  bad_argument: another number of ranks; MPI was already used; lost_peer.
  transport(int ranks, std::chrono::milliseconds deadline);
  /// Every rank must come here: MPI_Finalize waits for all.
  ~transport();
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  std::future<void> run(std::unique_ptr<job> work);

  /// Waits for what `run` returned. After the deadline, prints `who` in a line and ends the process: neither this
  /// thread nor the operation can be cancelled, and a peer might still write to its buffers.
  /// Errors  lost_peer.
  void wait(std::future<void>& ended, const std::string& who) const { wait(ended, who, deadline_); }
  static void wait(std::future<void>& ended, const std::string& who, std::chrono::microseconds deadline);

private:
  struct under_way {
    std::unique_ptr<job> work;
    std::promise<void> ended;
    std::vector<MPI_Request> requests;
  };

  void live();
  void initialize();
  void serve();
  /// Takes what has been queued; sleeps a little where nothing has, and where `naps` says that it would be in vain to
  /// look again at once. False: the end.
  bool take(std::vector<under_way>& active);
  static void start(under_way& operation);
  static bool test(under_way& operation);

  int ranks_;
  std::chrono::microseconds deadline_;
  int rank_ = -1, size_ = 0;

  std::mutex mutex_;
  std::condition_variable woken_;
  std::vector<under_way> queue_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point last_progress_;
  std::promise<void> ready_, gone_;
  std::thread thread_;
};

/// Throws lost_peer with MPI's text where `result` is not MPI_SUCCESS.
void check_mpi(int result, const char* call);

}  // namespace troupe::engine

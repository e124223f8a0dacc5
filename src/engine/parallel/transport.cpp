#include "engine/parallel/transport.hpp"

#include "base/error.hpp"
#include "base/pulse.hpp"
#include "engine/parallel/end_process.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::engine {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// MPI moves messages only while it is called. Looking often costs cores that compute needs, looking seldom costs time:
// at first at once, then after an eighth of the time that nothing has ended for, at most after `longest_nap`.
constexpr microseconds no_nap{30};
constexpr microseconds longest_nap{100};
// What this rank has sent may still be on its way through MPI when its operation has ended.
constexpr microseconds idle_nap{5000};

constexpr std::chrono::minutes patience_at_start{1};  // programs start one by one on a busy machine

}  // namespace

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) {
    return;
  }
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  throw error(errc::lost_peer, "{}: {}", call, std::string(text.data(), static_cast<size_t>(length)));
}

transport::transport(int ranks, std::chrono::milliseconds deadline) : ranks_(ranks), deadline_(deadline) {
  std::future<void> ready = ready_.get_future();
  thread_ = std::thread([this] { live(); });
  try {
    wait(ready, fmt::format("starting MPI with {} ranks", ranks), std::max<microseconds>(deadline_, patience_at_start));
  } catch (...) {
    thread_.join();
    throw;
  }
}

transport::~transport() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_all();
  std::future<void> gone = gone_.get_future();
  wait(gone, fmt::format("MPI_Finalize on rank {} of {}", rank_, size_));
  thread_.join();
}

std::future<void> transport::run(std::unique_ptr<job> work) {
  under_way operation{.work = std::move(work)};
  std::future<void> ended = operation.ended.get_future();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(operation));
  }
  woken_.notify_all();
  return ended;
}

void transport::wait(std::future<void>& ended, const std::string& who, microseconds deadline) {
  const waiting_scope waits;
  // In slices: a job that was suspended as a whole must not find its deadline past when it goes on.
  constexpr int slices = 20;
  int slept = 0;
  while (ended.wait_for(deadline / slices) != std::future_status::ready) {
    if (++slept == slices) {
      end_process(who, late_text(deadline));
    }
  }
  try {
    ended.get();
  } catch (const error& e) {
    throw error(e.code(), "{}: {}", who, e.what());
  }
}

void transport::live() {
  prctl(PR_SET_NAME, "transport");
  prctl(PR_SET_TIMERSLACK, 1000UL);  // ns: else a nap of 20 us takes 70
  try {
    initialize();
  } catch (...) {
    ready_.set_exception(std::current_exception());
    return;
  }
  ready_.set_value();
  serve();
  MPI_Finalize();
  gone_.set_value();
}

void transport::initialize() {
  int before = 0;
  int after = 0;
  check_mpi(MPI_Initialized(&before), "MPI_Initialized");
  check_mpi(MPI_Finalized(&after), "MPI_Finalized");
  if (before != 0 || after != 0) {
    throw error(errc::bad_argument, "MPI was already used in this process: it starts once");
  }
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  if (provided >= MPI_THREAD_FUNNELED && size_ == ranks_) {
    return;
  }
  MPI_Finalize();
  if (size_ != ranks_) {
    throw error(errc::bad_argument,
                "MPI has started {} ranks, the job has {}: start it with mpirun -n {} or srun -n {}", size_, ranks_,
                ranks_, ranks_);
  }
  throw error(errc::unsupported, "this MPI has no MPI_THREAD_FUNNELED: it cannot be used beside other threads");
}

void transport::serve() {
  std::vector<under_way> active;
  last_progress_ = clock::now();
  while (take(active)) {
    std::vector<under_way> remaining;
    for (under_way& operation : active) {
      if (!test(operation)) {
        remaining.push_back(std::move(operation));
      }
    }
    if (remaining.size() < active.size()) {
      last_progress_ = clock::now();
    }
    active.swap(remaining);
    if (active.empty()) {
      int found = 0;  // nobody sends on MPI_COMM_WORLD: this only lets MPI go on with what it has buffered
      MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
    }
  }
}

bool transport::take(std::vector<under_way>& active) {
  std::vector<under_way> taken;
  {
    std::unique_lock lock(mutex_);
    const auto quiet = std::chrono::duration_cast<microseconds>(clock::now() - last_progress_);
    if (queue_.empty() && quiet > no_nap) {
      const microseconds nap = active.empty() ? idle_nap : std::min(longest_nap, quiet / 8);
      woken_.wait_for(lock, nap, [&] { return !queue_.empty() || stopping_; });
    }
    if (queue_.empty() && active.empty() && stopping_) {
      return false;
    }
    taken.swap(queue_);
  }
  if (taken.empty()) {
    std::this_thread::yield();
    return true;
  }
  for (under_way& operation : taken) {
    start(operation);
    active.push_back(std::move(operation));
  }
  last_progress_ = clock::now();
  return true;
}

void transport::start(under_way& operation) {
  try {
    operation.work->start(operation.requests);
  } catch (...) {
    operation.ended.set_exception(std::current_exception());
    operation.work.reset();
  }
}

bool transport::test(under_way& operation) {
  if (!operation.work) {
    return true;
  }
  try {
    int ended = 0;
    check_mpi(MPI_Testall(static_cast<int>(operation.requests.size()), operation.requests.data(), &ended,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (ended == 0) {
      return false;
    }
    operation.work->finish();
    operation.work.reset();
    operation.ended.set_value();
  } catch (...) {
    operation.ended.set_exception(std::current_exception());
  }
  return true;
}

}  // namespace troupe::engine

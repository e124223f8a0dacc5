#include "base/error.hpp"
#include "engine/parallel/checked.hpp"
#include "engine/parallel/mpi_version.hpp"
#include "engine/parallel/transport.hpp"
#include "kernels/join.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <utility>

namespace troupe::engine {

namespace {

constexpr auto float_bytes = static_cast<int64_t>(sizeof(float));

/// Counts and displacements of parts, in the words of MPI. They must live as long as the operation.
struct parts {
  std::vector<int> count_R, displacement_R;

  /// Displacements begin at the first part.
  parts(const std::vector<int64_t>& offset_R1, int64_t width) {
    for (size_t r = 0; r + 1 < offset_R1.size(); ++r) {
      count_R.push_back(static_cast<int>((offset_R1[r + 1] - offset_R1[r]) / width));
      displacement_R.push_back(static_cast<int>((offset_R1[r] - offset_R1[0]) / width));
    }
  }
};

class reduce_scatter_job final : public transport::job {
public:
  reduce_scatter_job(MPI_Comm comm, call made)
      : comm_(comm), made_(std::move(made)), send_(made_.from_offset_R1, float_bytes), receive_(send_) {
    // Each rank gets R - 1 pieces of its part, one behind the other: its own stays where it is.
    const auto own = static_cast<size_t>(made_.rank);
    const int count = send_.count_R[own];
    send_.count_R[own] = 0;
    for (size_t r = 0; r < receive_.count_R.size(); ++r) {
      receive_.count_R[r] = r == own ? 0 : count;
      receive_.displacement_R[r] = count * static_cast<int>(r < own ? r : r - 1);
    }
  }

  void start(std::vector<MPI_Request>& requests) override {
    const int64_t others = static_cast<int64_t>(send_.count_R.size()) - 1;
    pieces_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(others * (made_.bytes / float_bytes)));
    check_mpi(MPI_Ialltoallv(made_.from + made_.from_offset_R1[0], send_.count_R.data(), send_.displacement_R.data(),
                             MPI_FLOAT, pieces_.get(), receive_.count_R.data(), receive_.displacement_R.data(),
                             MPI_FLOAT, comm_, &requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Ialltoallv");
  }

  void finish() override {
    std::vector<const float*> pieces_R;
    for (const int displacement : receive_.displacement_R) {
      pieces_R.push_back(pieces_.get() + displacement);
    }
    const auto own = static_cast<size_t>(made_.rank);
    pieces_R[own] = reinterpret_cast<const float*>(made_.from + made_.from_offset_R1[own]);
    kernels::join_pieces(pieces_R, made_.bytes / float_bytes, reinterpret_cast<float*>(made_.to));
  }

private:
  MPI_Comm comm_;
  call made_;
  parts send_, receive_;
  std::unique_ptr<float[]> pieces_;
};

class all_gather_job final : public transport::job {
public:
  all_gather_job(MPI_Comm comm, call made)
      : comm_(comm), made_(std::move(made)), parts_(made_.to_offset_R1, made_.width) {}

  void start(std::vector<MPI_Request>& requests) override {
    check_mpi(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, made_.to + made_.to_offset_R1[0],
                              parts_.count_R.data(), parts_.displacement_R.data(),
                              made_.width == float_bytes ? MPI_FLOAT : MPI_UINT16_T, comm_,
                              &requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Iallgatherv");
  }

private:
  MPI_Comm comm_;
  call made_;
  parts parts_;
};

class all_to_all_job final : public transport::job {
public:
  all_to_all_job(MPI_Comm comm, call made)
      : comm_(comm), made_(std::move(made)), send_(made_.from_offset_R1, 1), receive_(made_.to_offset_R1, 1) {}

  void start(std::vector<MPI_Request>& requests) override {
    check_mpi(MPI_Ialltoallv(made_.from + made_.from_offset_R1[0], send_.count_R.data(), send_.displacement_R.data(),
                             MPI_BYTE, made_.to + made_.to_offset_R1[0], receive_.count_R.data(),
                             receive_.displacement_R.data(), MPI_BYTE, comm_, &requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Ialltoallv");
  }

private:
  MPI_Comm comm_;
  call made_;
  parts send_, receive_;
};

/// broadcast, send or receive.
class one_array_job final : public transport::job {
public:
  one_array_job(MPI_Comm comm, call made) : comm_(comm), made_(std::move(made)) {}

  void start(std::vector<MPI_Request>& requests) override {
    const int count = static_cast<int>(made_.bytes);
    MPI_Request& request = requests.emplace_back(MPI_REQUEST_NULL);
    if (made_.kind == operation_kind::broadcast) {
      check_mpi(MPI_Ibcast(made_.to, count, MPI_BYTE, made_.peer, comm_, &request), "MPI_Ibcast");
    } else if (made_.kind == operation_kind::send) {
      check_mpi(MPI_Isend(made_.from, count, MPI_BYTE, made_.peer, made_.tag, comm_, &request), "MPI_Isend");
    } else {
      check_mpi(MPI_Irecv(made_.to, count, MPI_BYTE, made_.peer, made_.tag, comm_, &request), "MPI_Irecv");
    }
  }

private:
  MPI_Comm comm_;
  call made_;
};

std::unique_ptr<transport::job> make_job(MPI_Comm comm, call made) {
  switch (made.kind) {
  case operation_kind::reduce_scatter:
    return std::make_unique<reduce_scatter_job>(comm, std::move(made));
  case operation_kind::all_gather:
    return std::make_unique<all_gather_job>(comm, std::move(made));
  case operation_kind::all_to_all:
    return std::make_unique<all_to_all_job>(comm, std::move(made));
  case operation_kind::broadcast:
  case operation_kind::send:
  case operation_kind::receive:
    break;
  }
  return std::make_unique<one_array_job>(comm, std::move(made));
}

/// This rank's communicators by the number of their opening, which is the same on all ranks. A rank drops them when it
/// likes, MPI_Comm_free is for all ranks at once: what all have dropped is freed at the next opening.
class openings {
public:
  /// `comm` may be MPI_COMM_NULL: this rank is in no group.
  size_t add(MPI_Comm comm) {
    const std::lock_guard lock(mutex_);
    all_.push_back({.comm = comm, .dropped = comm == MPI_COMM_NULL});
    return all_.size() - 1;
  }
  void drop(size_t number) {
    const std::lock_guard lock(mutex_);
    all_[number].dropped = true;
  }
  /// One byte for each opening: whether this rank has dropped it.
  std::vector<unsigned char> dropped() const {
    const std::lock_guard lock(mutex_);
    std::vector<unsigned char> result;
    std::transform(all_.begin(), all_.end(), std::back_inserter(result),
                   [](const opening& o) { return o.dropped ? 1 : 0; });
    return result;
  }
  /// Frees those that all have dropped, in their order. On the transport's thread.
  void free(const std::vector<unsigned char>& dropped_by_all) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < dropped_by_all.size(); ++i) {
      if (dropped_by_all[i] != 0 && all_[i].comm != MPI_COMM_NULL) {
        check_mpi(MPI_Comm_free(&all_[i].comm), "MPI_Comm_free");  // which makes it MPI_COMM_NULL
      }
    }
  }

private:
  struct opening {
    MPI_Comm comm = MPI_COMM_NULL;
    bool dropped = false;
  };
  mutable std::mutex mutex_;
  std::vector<opening> all_;
};

/// Agrees with all ranks of the world on what all have dropped, and frees that. MPI_Comm_free may wait for the
/// others, which are on their way to the same call: they have given their word, and wait for nothing else.
class free_job final : public transport::job {
public:
  explicit free_job(std::shared_ptr<openings> of) : of_(std::move(of)), dropped_(of_->dropped()) {}
  void start(std::vector<MPI_Request>& requests) override {
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, dropped_.data(), static_cast<int>(dropped_.size()), MPI_UNSIGNED_CHAR,
                             MPI_MIN, MPI_COMM_WORLD, &requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Iallreduce");
  }
  void finish() override { of_->free(dropped_); }

private:
  std::shared_ptr<openings> of_;
  std::vector<unsigned char> dropped_;
};

/// A communicator of its own for each purpose, with MPI's and the name that rank 0 gives it.
struct opened {
  MPI_Comm comm = MPI_COMM_NULL;
  int size = 0;  ///< where it was split off
  std::array<char, 128> name{};
};

class duplicate_job final : public transport::job {
public:
  explicit duplicate_job(std::shared_ptr<opened> result) : result_(std::move(result)) {}
  void start(std::vector<MPI_Request>& requests) override {
    check_mpi(MPI_Comm_idup(MPI_COMM_WORLD, &result_->comm, &requests.emplace_back(MPI_REQUEST_NULL)), "MPI_Comm_idup");
  }

private:
  std::shared_ptr<opened> result_;
};

/// The communicator of the ranks that give the same colour, by their place in the group. MPI has no nonblocking form
/// of it: the thread stands still until all ranks of the world have come, and whoever waits for it still ends at the
/// deadline.
class split_job final : public transport::job {
public:
  split_job(std::shared_ptr<opened> result, int color, int place)
      : result_(std::move(result)), color_(color), place_(place) {}
  void start(std::vector<MPI_Request>&) override {
    check_mpi(MPI_Comm_split(MPI_COMM_WORLD, color_, place_, &result_->comm), "MPI_Comm_split");
    if (result_->comm != MPI_COMM_NULL) {
      check_mpi(MPI_Comm_size(result_->comm, &result_->size), "MPI_Comm_size");
    }
  }

private:
  std::shared_ptr<opened> result_;
  int color_, place_;
};

class name_job final : public transport::job {
public:
  explicit name_job(std::shared_ptr<opened> result) : result_(std::move(result)) {}
  void start(std::vector<MPI_Request>& requests) override {
    check_mpi(MPI_Ibcast(result_->name.data(), static_cast<int>(result_->name.size()), MPI_CHAR, 0, result_->comm,
                         &requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Ibcast");
  }

private:
  std::shared_ptr<opened> result_;
};

class mpi_operation final : public pending::operation {
public:
  mpi_operation(std::shared_ptr<transport> thread, std::future<void> ended, std::string who,
                std::chrono::milliseconds deadline)
      : thread_(std::move(thread)), ended_(std::move(ended)), who_(std::move(who)), deadline_(deadline) {}
  void wait() override {
    if (deadline_.count() > 0) {
      transport::wait(ended_, who_, deadline_);
    } else {
      thread_->wait(ended_, who_);
    }
  }

private:
  std::shared_ptr<transport> thread_;
  std::future<void> ended_;
  std::string who_;
  std::chrono::milliseconds deadline_;
};

class mpi_communicator final : public checked_communicator {
public:
  mpi_communicator(std::shared_ptr<transport> thread, std::shared_ptr<openings> among, MPI_Comm comm,
                   const std::string& name, int rank, int size)
      : checked_communicator(name, rank, size), thread_(std::move(thread)), among_(std::move(among)), comm_(comm),
        number_(among_->add(comm)) {}
  ~mpi_communicator() override { among_->drop(number_); }

private:
  std::unique_ptr<pending::operation> start(call made) override {
    std::string who = describe(made);
    check_counts(made, who);
    const auto deadline = made.deadline;
    return std::make_unique<mpi_operation>(thread_, thread_->run(make_job(comm_, std::move(made))), std::move(who),
                                           deadline);
  }

  /// MPI 3 counts and displaces by int.
  void check_counts(const call& made, const std::string& who) const {
    const auto span_of = [](const std::vector<int64_t>& offset_R1) {
      return offset_R1.empty() ? 0 : offset_R1.back() - offset_R1.front();
    };
    int64_t largest = std::max(span_of(made.from_offset_R1), span_of(made.to_offset_R1));
    largest = std::max(largest, made.kind == operation_kind::reduce_scatter ? made.bytes * (size() - 1) : made.bytes);
    if (largest / made.width > std::numeric_limits<int>::max()) {
      throw error(errc::unsupported, "{}: {} items at once, MPI counts to {}: use several operations", who,
                  largest / made.width, std::numeric_limits<int>::max());
    }
  }

  std::shared_ptr<transport> thread_;
  std::shared_ptr<openings> among_;
  MPI_Comm comm_;
  size_t number_;
};

class mpi_ranks final : public world {
public:
  mpi_ranks(int ranks, std::chrono::milliseconds deadline) : thread_(std::make_shared<transport>(ranks, deadline)) {}

  int rank() const override { return thread_->rank(); }
  int size() const override { return thread_->size(); }

  communicator_ptr open(const std::string& name) override {
    const std::lock_guard lock(mutex_);  // MPI wants the same order on all ranks, so does this
    const std::string who = fmt::format("opening '{}' on rank {} of {}", name, rank(), size());
    free_dropped(who);
    const auto result = std::make_shared<opened>();
    run(std::make_unique<duplicate_job>(result), who);
    const auto made = std::make_shared<mpi_communicator>(thread_, openings_, result->comm, name, rank(), size());
    agree_on_name(result, name, who);
    return made;
  }

  communicator_ptr open(const std::string& name, std::span<const int> members) override {
    const int place = place_among(name, members, rank(), size());
    const std::lock_guard lock(mutex_);
    const std::string who = fmt::format("opening '{}' on rank {} of {}", name, rank(), size());
    free_dropped(who);
    const auto result = std::make_shared<opened>();
    run(std::make_unique<split_job>(result, place < 0 ? MPI_UNDEFINED : members.front(), place), who);
    if (place < 0) {
      openings_->add(MPI_COMM_NULL);
      return nullptr;
    }
    const auto wanted = static_cast<int>(members.size());
    const auto made = std::make_shared<mpi_communicator>(thread_, openings_, result->comm, name, place, wanted);
    if (result->size != wanted) {
      throw error(errc::bad_argument, "{}: its group has {} members, {} ranks have given rank {} as their first", who,
                  wanted, result->size, members.front());
    }
    agree_on_name(result, name, who);
    return made;
  }

private:
  void free_dropped(const std::string& who) { run(std::make_unique<free_job>(openings_), who); }

  void run(std::unique_ptr<transport::job> work, const std::string& who) {
    std::future<void> ended = thread_->run(std::move(work));
    thread_->wait(ended, who);
  }

  void agree_on_name(const std::shared_ptr<opened>& result, const std::string& name, const std::string& who) {
    std::array<char, 128> own{};
    name.copy(own.data(), own.size() - 1);
    result->name = own;
    run(std::make_unique<name_job>(result), who);
    if (result->name != own) {
      throw error(errc::bad_argument, "{}: rank 0 opens '{}': all must open the same in the same order", who,
                  result->name.data());
    }
  }

  std::shared_ptr<transport> thread_;
  std::shared_ptr<openings> openings_ = std::make_shared<openings>();
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<world> mpi_world(int ranks, std::chrono::milliseconds deadline) {
  return std::make_unique<mpi_ranks>(ranks, deadline);
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  if (MPI_Get_library_version(text.data(), &length) != MPI_SUCCESS) {  // may be asked before MPI_Init
    return "unknown";
  }
  const std::string all(text.data(), static_cast<size_t>(length));
  return all.substr(0, all.find_first_of(",\n"));  // Open MPI's goes on with who built it
}

}  // namespace troupe::engine

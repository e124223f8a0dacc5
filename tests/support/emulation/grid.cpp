#include "support/emulation/grid.hpp"

#include "support/emulation/fiber.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace troupe::emulation {

constinit thread_local const thread_view* running = nullptr;

counters& counted() {
  thread_local counters count;
  return count;
}

namespace {

constexpr size_t lanes = 32;
constexpr size_t most_threads = 1024;
constexpr size_t stack_bytes = size_t{256} << 10;

/// Stacks for a block's fibers, kept from one block to the next. Pages that nobody touches cost nothing.
class stacks {
public:
  stacks() {
    void* at = mmap(nullptr, most_threads * stack_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      throw std::bad_alloc();
    }
    base_ = static_cast<std::byte*>(at);
  }
  stacks(const stacks&) = delete;
  stacks& operator=(const stacks&) = delete;
  ~stacks() { munmap(base_, most_threads * stack_bytes); }

  std::span<std::byte> operator[](size_t i) const { return {base_ + i * stack_bytes, stack_bytes}; }

private:
  std::byte* base_ = nullptr;
};

/// Shared memory of one block.
class shared_pieces {
public:
  ~shared_pieces() { clear(); }

  void* get(size_t bytes, size_t alignment, const void* tag) {
    for (const piece& one : pieces_) {
      if (one.tag == tag) {
        return one.at;
      }
    }
    void* at = nullptr;
    if (posix_memalign(&at, std::max(alignment, size_t{16}), bytes) != 0) {
      throw std::bad_alloc();
    }
    std::memset(at, 0xFF, bytes);  // NaN in every type of reals
    pieces_.push_back({tag, at, bytes});
    return at;
  }

  bool holds(const void* at, size_t bytes) const {
    const auto* first = static_cast<const std::byte*>(at);
    return std::any_of(pieces_.begin(), pieces_.end(), [&](const piece& one) {
      const auto* begin = static_cast<const std::byte*>(one.at);
      return first >= begin && first + bytes <= begin + one.bytes;
    });
  }

  void clear() {
    for (const piece& one : pieces_) {
      std::free(one.at);
    }
    pieces_.clear();
  }

private:
  struct piece {
    const void* tag;
    void* at;
    size_t bytes;
  };
  std::vector<piece> pieces_;
};

struct pending_copy {
  void* to;
  const void* from;
  size_t bytes, from_bytes;
};

/// Where a thread waits for others. Operations are told apart by it.
struct meeting {
  const char* operation = nullptr;
  place at = {nullptr, 0};

  bool same(const meeting& other) const {
    return at.line == other.at.line && same_text(at.file, other.at.file) && same_text(operation, other.operation);
  }
  std::string text() const { return fmt::format("{} of {}:{}", operation, at.file, at.line); }

private:
  /// Mostly it is one literal.
  static bool same_text(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
};

/// One exchange of a warp.
struct exchange_table {
  meeting what;
  unsigned arrived = 0;
  alignas(16) std::byte deposits[lanes * deposit_bytes];
};

/// A warp's exchanges alternate between two tables: a lane may be one exchange ahead of another that still reads.
struct warp {
  exchange_table tables[2];
};

enum class thread_state { ready, waits, ended };

struct thread {
  thread_view view;
  thread_state state = thread_state::ready;
  meeting waits_at;
  unsigned exchanges = 0;
  std::vector<std::vector<pending_copy>> groups;  ///< few; a deque would allocate for each thread of each block
  std::vector<pending_copy> open_group;
};

std::string text(dim3 at) { return fmt::format("({}, {}, {})", at.x, at.y, at.z); }

class block_runner;
thread_local block_runner* now = nullptr;

/// Runs the blocks of one launch.
class block_runner {
public:
  block_runner(const launch_shape& shape, const settings& how, const std::function<void()>& body)
      : shape_(shape), how_(how), body_(body), random_(how.seed),
        threads_(size_t{shape.block.x} * shape.block.y * shape.block.z), fibers_(threads_.size()),
        warps_(threads_.size() / lanes), turn_(threads_.size()) {
    std::iota(turn_.begin(), turn_.end(), size_t{0});
    if (how.order == thread_order::falling) {
      std::reverse(turn_.begin(), turn_.end());
    }
  }

  void run(dim3 block) {
    start(block);
    while (live_ > 0) {
      if (how_.order == thread_order::shuffled) {
        std::shuffle(turn_.begin(), turn_.end(), random_);
      }
      bool moved = false;
      for (const size_t i : turn_) {
        while (threads_[i].state == thread_state::ready) {
          moved = true;
          go_on(i);
        }
      }
      if (live_ > 0 && at_barrier_ == threads_.size()) {
        open_barrier();
      } else if (!moved) {
        throw failure(standstill());
      }
    }
    shared_.clear();
  }

  size_t dynamic_shared_bytes() const { return shape_.dynamic_shared_bytes; }
  shared_pieces& shared() { return shared_; }
  thread& current() { return threads_[current_]; }

  void barrier(place at) {
    const meeting here{"the barrier", at};
    if (live_ < threads_.size()) {
      throw failure(fmt::format("{} comes to {}, {} of {} threads have ended", name(current()), here.text(),
                                threads_.size() - live_, threads_.size()));
    }
    if (at_barrier_ == 0) {
      barrier_ = here;
    } else if (!barrier_.same(here)) {
      throw failure(fmt::format("{} comes to {}, others to {}", name(current()), here.text(), barrier_.text()));
    }
    ++at_barrier_;
    wait_at(here);
  }

  const void* exchange(unsigned mask, const void* mine, size_t bytes, const meeting& here) {
    if (mask != whole_warp) {
      throw failure(fmt::format("{} is in {} with the mask {:#x}: only whole warps are allowed", name(current()),
                                here.text(), mask));
    }
    thread& self = current();
    warp& own = warps_[static_cast<size_t>(self.view.warp)];
    exchange_table& table = own.tables[++self.exchanges % 2];
    if (table.arrived == 0) {
      table.what = here;
      ++counted().warp_operations;
    } else if (!table.what.same(here)) {
      throw failure(fmt::format("{} is in {}, other lanes in {}", name(self), here.text(), table.what.text()));
    }
    std::memcpy(table.deposits + static_cast<size_t>(self.view.lane) * bytes, mine, bytes);
    table.arrived |= 1U << self.view.lane;
    if (table.arrived != whole_warp) {
      wait_at(here);
    } else {
      table.arrived = 0;
      const size_t first = static_cast<size_t>(self.view.warp) * lanes;
      for (size_t i = first; i < first + lanes; ++i) {
        threads_[i].state = thread_state::ready;  // all others wait in this exchange
      }
    }
    return table.deposits;
  }

  static std::string name(const thread& one) {
    return fmt::format("thread {} of block {}", text(one.view.thread), text(one.view.block));
  }

private:
  void start(dim3 block) {
    thread_local const stacks all_stacks;
    live_ = threads_.size();
    at_barrier_ = 0;
    for (warp& one : warps_) {
      one.tables[0].arrived = one.tables[1].arrived = 0;
    }
    const dim3 size = shape_.block;
    for (size_t i = 0; i < threads_.size(); ++i) {
      const auto n = static_cast<unsigned>(i);
      threads_[i] = thread{};
      threads_[i].view = {.thread = {n % size.x, n / size.x % size.y, n / (size.x * size.y)},
                          .block = block,
                          .block_size = size,
                          .grid_size = shape_.grid,
                          .lane = static_cast<int>(n % lanes),
                          .warp = static_cast<int>(n / lanes),
                          .unit = how_.unit};
      fibers_[i].start(all_stacks[i], &block_runner::run_thread);
    }
    ++counted().blocks;
    counted().threads += threads_.size();
  }

  static void run_thread() {
    block_runner& self = *now;
    try {
      self.body_();
    } catch (...) {
      self.thrown_ = std::current_exception();
    }
    self.current().state = thread_state::ended;
    --self.live_;
  }

  void go_on(size_t i) {
    current_ = i;
    running = &threads_[i].view;
    ++counted().switches;
    fibers_[i].resume();
    if (thrown_ != nullptr) {
      std::rethrow_exception(thrown_);
    }
  }

  void wait_at(const meeting& here) {
    const size_t self = current_;
    threads_[self].state = thread_state::waits;
    threads_[self].waits_at = here;
    fibers_[self].leave();
  }

  void open_barrier() {
    ++counted().barriers;
    at_barrier_ = 0;
    for (thread& one : threads_) {
      one.state = thread_state::ready;
    }
  }

  std::string standstill() const {
    for (const thread& one : threads_) {
      if (one.state == thread_state::waits) {
        return fmt::format("{} waits in {} for threads that do not come ({} of {} have ended)", name(one),
                           one.waits_at.text(), threads_.size() - live_, threads_.size());
      }
    }
    return "no thread can run";
  }

  const launch_shape& shape_;
  const settings& how_;
  const std::function<void()>& body_;
  std::mt19937_64 random_;
  std::vector<thread> threads_;
  std::vector<fiber> fibers_;
  std::vector<warp> warps_;
  std::vector<size_t> turn_;
  shared_pieces shared_;
  size_t current_ = 0, live_ = 0, at_barrier_ = 0;
  meeting barrier_;
  std::exception_ptr thrown_;
};

void check(const launch_shape& shape) {
  const dim3 grid = shape.grid, block = shape.block;
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > most_threads || threads % lanes != 0 || block.z > 64) {
    throw failure(fmt::format("a block of {} threads: whole warps are needed, at most 1024 threads", text(block)));
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535) {
    throw failure(fmt::format("a grid of {} blocks: none, or more than a launch may have", text(grid)));
  }
  if (now != nullptr) {
    throw failure("a kernel launches a kernel");
  }
}

/// Who runs, and nobody after the launch, however it ends.
struct run_scope {
  explicit run_scope(block_runner& runner) { now = &runner; }
  ~run_scope() {
    now = nullptr;
    running = nullptr;
  }
};

}  // namespace

void run_grid(const launch_shape& shape, const settings& how, const std::function<void()>& body) {
  check(shape);
  ++counted().kernels;
  block_runner runner(shape, how, body);
  const run_scope scope(runner);
  for (unsigned z = 0; z < shape.grid.z; ++z) {
    for (unsigned y = 0; y < shape.grid.y; ++y) {
      for (unsigned x = 0; x < shape.grid.x; ++x) {
        runner.run({x, y, z});
      }
    }
  }
}

void barrier(place at) { now->barrier(at); }

const void* exchange(unsigned mask, const void* mine, size_t bytes, const char* operation, place at) {
  return now->exchange(mask, mine, bytes, {operation, at});
}

void* shared_memory(size_t bytes, size_t alignment, const void* tag) {
  return now->shared().get(bytes, alignment, tag);
}

void* dynamic_shared_memory(size_t bytes, size_t alignment) {
  static const char tag = 0;
  if (bytes > now->dynamic_shared_bytes()) {
    throw failure(fmt::format("{} bytes of dynamic shared memory are used, the launch gave {}", bytes,
                              now->dynamic_shared_bytes()));
  }
  return now->shared().get(bytes, alignment, &tag);
}

void require_shared(const void* at, size_t bytes, const char* operation, place where) {
  if (!now->shared().holds(at, bytes)) {
    throw failure(fmt::format("{} is in {} of {}:{} with an address outside of shared memory",
                              block_runner::name(now->current()), operation, where.file, where.line));
  }
  if (reinterpret_cast<uintptr_t>(at) % bytes != 0) {
    throw failure(fmt::format("{} is in {} of {}:{} with an address that is not a multiple of {}",
                              block_runner::name(now->current()), operation, where.file, where.line, bytes));
  }
}

void copy_async(void* to, const void* from, size_t bytes, size_t from_bytes, place at) {
  require_shared(to, bytes, "an asynchronous copy", at);
  if (reinterpret_cast<uintptr_t>(from) % bytes != 0) {
    throw failure(fmt::format("{} copies at {}:{} from an address that is not a multiple of {}",
                              block_runner::name(now->current()), at.file, at.line, bytes));
  }
  now->current().open_group.push_back({to, from, bytes, from_bytes});
}

void commit_copies() {
  thread& self = now->current();
  self.groups.push_back(std::move(self.open_group));
  self.open_group.clear();
}

void wait_copies(int groups_left) {
  auto& groups = now->current().groups;
  for (; groups.size() > static_cast<size_t>(groups_left); groups.erase(groups.begin())) {
    for (const pending_copy& one : groups.front()) {
      std::memcpy(one.to, one.from, one.from_bytes);
      std::memset(static_cast<std::byte*>(one.to) + one.from_bytes, 0, one.bytes - one.from_bytes);
    }
  }
}

}  // namespace troupe::emulation

#include "support/emulation/emulated_card.hpp"

#include "base/assert.hpp"
#include "base/card_memory_text.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"
#include "kernels/cuda/card_work.hpp"
#include "kernels/cuda/table.hpp"
#include "support/emulation/cuda_on_host.hpp"
#include "support/emulation/work_queues.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::emulation {

namespace {

/// Addresses of the card, some of which have pages.
class address_range {
public:
  address_range(int64_t bytes, int64_t page_bytes, bool closed, std::string holder)
      : bytes_(round_up(std::max(bytes, int64_t{1}), page_bytes)), page_bytes_(page_bytes), closed_(closed),
        holder_(std::move(holder)), departure_(static_cast<size_t>(bytes_ / page_bytes), gone) {
    void* at =
        mmap(nullptr, static_cast<size_t>(bytes_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      throw error(errc::out_of_memory, "emulated card: no addresses for {} bytes of {}", bytes, holder_);
    }
    base_ = static_cast<std::byte*>(at);
  }
  address_range(const address_range&) = delete;
  address_range& operator=(const address_range&) = delete;
  ~address_range() { munmap(base_, static_cast<size_t>(bytes_)); }

  std::byte* base() const { return base_; }
  const std::string& holder() const { return holder_; }
  /// Of pages that nobody has given back.
  int64_t held_bytes() const {
    return count([](uint64_t leaves) { return leaves == stays; });
  }
  int64_t mapped_bytes() const {
    return count([](uint64_t leaves) { return leaves != gone; });
  }

  /// [first, last) of the pages that [at, at + bytes) touches, or of those that lie wholly within.
  struct pages {
    size_t first, last;
  };
  pages touched(const std::byte* at, int64_t bytes) const {
    const int64_t begin = at - base_;
    TROUPE_ASSERT(begin >= 0 && bytes >= 0 && begin + bytes <= bytes_);
    return {static_cast<size_t>(begin / page_bytes_), static_cast<size_t>(divide_up(begin + bytes, page_bytes_))};
  }
  pages within(const std::byte* at, int64_t bytes) const {
    const int64_t begin = at - base_;
    TROUPE_ASSERT(begin >= 0 && bytes >= 0 && begin + bytes <= bytes_);
    const auto first = static_cast<size_t>(divide_up(begin, page_bytes_));
    return {first, std::max(first, static_cast<size_t>((begin + bytes) / page_bytes_))};
  }

  int64_t missing_bytes(pages wanted) const {
    int64_t missing = 0;
    for (size_t page = wanted.first; page < wanted.last; ++page) {
      missing += departure_[page] == stays ? 0 : page_bytes_;
    }
    return missing;
  }

  /// Of those, what has no page at all.
  int64_t new_bytes(pages wanted) const {
    return std::count(departure_.begin() + static_cast<int64_t>(wanted.first),
                      departure_.begin() + static_cast<int64_t>(wanted.last), gone) *
           page_bytes_;
  }

  void map(pages wanted) {
    used_ = std::max(used_, wanted.last);
    for (size_t page = wanted.first; page < wanted.last; ++page) {
      const uint64_t before = std::exchange(departure_[page], stays);
      if (before == gone) {
        protect(page, page + 1, PROT_READ | PROT_WRITE);
        std::memset(at(page), 0xFF, static_cast<size_t>(page_bytes_));
        if (closed_) {
          protect(page, page + 1, PROT_NONE);
        }
      }
    }
  }

  /// They are there until `departure` is over; who maps them again before that finds them as they are.
  void unmap(pages given_back, uint64_t departure) {
    for (size_t page = given_back.first; page < given_back.last; ++page) {
      if (departure_[page] == stays) {
        departure_[page] = departure;
      }
    }
  }

  void end(uint64_t departure) {
    for (size_t page = 0; page < used_; ++page) {
      if (departure_[page] == departure) {
        departure_[page] = gone;
        madvise(at(page), static_cast<size_t>(page_bytes_), MADV_DONTNEED);
        protect(page, page + 1, PROT_NONE);
      }
    }
  }

  /// Of all mapped pages, whether they may be read and written.
  void open(bool allowed) {
    for (size_t page = 0; page < used_;) {
      size_t end = page;
      while (end < used_ && departure_[end] != gone) {
        ++end;
      }
      if (end > page) {
        protect(page, end, allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
      }
      page = end + 1;
    }
  }

private:
  template <class Is> int64_t count(const Is& is) const {
    return std::count_if(departure_.begin(), departure_.begin() + static_cast<int64_t>(used_), is) * page_bytes_;
  }
  std::byte* at(size_t page) const { return base_ + static_cast<int64_t>(page) * page_bytes_; }
  void protect(size_t first, size_t last, int protection) {
    TROUPE_ASSERT(mprotect(at(first), (last - first) * static_cast<size_t>(page_bytes_), protection) == 0);
  }

  int64_t bytes_, page_bytes_;
  bool closed_;
  std::string holder_;
  static constexpr uint64_t stays = 0, gone = UINT64_MAX;
  std::vector<uint64_t> departure_;  ///< of each page: the number of the one it leaves with
  size_t used_ = 0;                  ///< no page from here on has ever been mapped
  std::byte* base_ = nullptr;
};

/// Each call is whole: while work runs, in its open pages, no other thread's work or mapping does.
class card_memory {
public:
  card_memory(int64_t bytes, int64_t page_bytes, bool closed, std::string name)
      : bytes_(bytes), page_bytes_(page_bytes), closed_(closed), name_(std::move(name)) {}

  /// Pages are open to it.
  void run(const std::function<void()>& work) {
    const std::lock_guard lock(mutex_);
    struct opened {
      explicit opened(card_memory& memory) : memory(memory) { memory.open(true); }
      ~opened() { memory.open(false); }
      card_memory& memory;
    };
    const opened scope(*this);
    work();
  }

  std::byte* reserve(int64_t bytes, const std::string& holder) {
    const std::lock_guard lock(mutex_);
    auto range = std::make_unique<address_range>(bytes, page_bytes_, closed_, holder);
    std::byte* base = range->base();
    ranges_.emplace(base, std::move(range));
    return base;
  }

  void free(std::byte* base) {
    const std::lock_guard lock(mutex_);
    const size_t erased = ranges_.erase(base);
    TROUPE_ASSERT(erased == 1);
  }

  void map(std::byte* at, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    address_range& range = range_of(at);
    const auto pages = range.touched(at, bytes);
    const int64_t wanted = range.missing_bytes(pages);
    if (const memory_use now = use_now(); wanted > now.free) {
      throw error(errc::out_of_memory, no_card_memory_text(name_, wanted, range.holder(), now, bytes_));
    }
    range.map(pages);
  }

  /// Whether there are pages for it, without those of others that are leaving.
  bool has_pages_for(const std::byte* at, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const address_range& wanting = range_of(at);
    int64_t mapped = wanting.new_bytes(wanting.touched(at, bytes));
    for (const auto& [base, range] : ranges_) {
      mapped += range->mapped_bytes();
    }
    return mapped <= bytes_;
  }

  void unmap(std::byte* at, int64_t bytes, uint64_t departure) {
    const std::lock_guard lock(mutex_);
    address_range& range = range_of(at);
    range.unmap(range.within(at, bytes), departure);
  }

  void end(uint64_t departure) {
    const std::lock_guard lock(mutex_);
    for (const auto& [base, range] : ranges_) {
      range->end(departure);
    }
  }

  memory_use use() const {
    const std::lock_guard lock(mutex_);
    return use_now();
  }

private:
  memory_use use_now() const {
    std::map<std::string, int64_t> bytes_of;
    memory_use use{.free = bytes_};
    for (const auto& [base, range] : ranges_) {
      const int64_t held = range->held_bytes();
      bytes_of[range->holder()] += held;
      use.free -= held;
    }
    for (const auto& [name, bytes] : bytes_of) {
      use.holders.push_back({name, bytes});
    }
    return use;
  }

  void open(bool allowed) {
    if (!closed_) {
      return;
    }
    for (const auto& [base, range] : ranges_) {
      range->open(allowed);
    }
  }

  address_range& range_of(const std::byte* at) {
    auto after = ranges_.upper_bound(const_cast<std::byte*>(at));
    TROUPE_ASSERT(after != ranges_.begin());
    return *std::prev(after)->second;
  }

  mutable std::mutex mutex_;
  int64_t bytes_, page_bytes_;
  bool closed_;
  std::string name_;
  std::map<std::byte*, std::unique_ptr<address_range>> ranges_;
};

using work_list = std::vector<std::function<void()>>;

/// The compute queue as kernels know it: or what records its calls.
class work_stream : public CUstream_st {
public:
  work_stream(card_memory& memory, work_queues& queues) : memory_(memory), queues_(queues) {}

  void add(std::function<void()> work) override {
    recorded_ != nullptr ? recorded_->push_back(std::move(work)) : add_to(queue::compute, std::move(work));
  }

  /// With the card's pages open.
  void add_to(queue in, std::function<void()> work) {
    queues_.add(in, [this, work = std::move(work)] { memory_.run(work); });
  }

  bool records() const { return recorded_ != nullptr; }
  void record_into(work_list* list) { recorded_ = list; }

private:
  card_memory& memory_;
  work_queues& queues_;
  work_list* recorded_ = nullptr;
};

/// A replay that is late may come after the recording's end.
class emulated_recording : public recording {
public:
  emulated_recording(work_stream& stream, work_list work, std::function<void()> told)
      : stream_(stream), work_(std::make_shared<const work_list>(std::move(work))), told_(std::move(told)) {}
  void replay() override {
    told_();
    for (size_t i = 0; i < work_->size(); ++i) {
      stream_.add([work = work_, i] { (*work)[i](); });
    }
  }

private:
  work_stream& stream_;
  std::shared_ptr<const work_list> work_;
  std::function<void()> told_;
};

class host_memory : public pinned_memory {
public:
  explicit host_memory(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {}
  std::byte* data() override { return bytes_.data(); }
  int64_t bytes() const override { return static_cast<int64_t>(bytes_.size()); }

private:
  std::vector<std::byte> bytes_;
};

std::string uuid_of_next() {
  static std::atomic<int> last = 0;
  return fmt::format("emulated-{}", ++last);
}

constexpr int64_t most_scratch_bytes = int64_t{1} << 32;  // of addresses, which cost nothing

class emulated_card : public device {
public:
  explicit emulated_card(const card_options& options)
      : page_bytes_(options.page_bytes), memory_(options.bytes, options.page_bytes, options.closed, options.name),
        queues_({options.late && !options.early_compute, options.late && !options.early_copies,
                 options.late && !options.early_copies, false}),
        stream_(memory_, queues_), scratch_(memory_.reserve(most_scratch_bytes, "scratch")), network_(options.network),
        calls_(options.calls), failed_(options.failed), most_pinned_(options.most_pinned), hangs_(options.hangs),
        name_(options.name) {
    stream_.how = options.threads;
    facts_.name = "emulated card";
    facts_.driver = "none";
    facts_.libraries = "none";
    facts_.major = options.threads.unit == matrix_unit::hopper ? 9 : 8;
    facts_.multiprocessors = 4;
    facts_.bytes = options.bytes;
    facts_.uuid = uuid_of_next();
  }

  ~emulated_card() override { drop_kept(); }

  const device_facts& facts() const override { return facts_; }
  const kernels::device_ops& ops() const override { return kernels::cuda::ops(); }

  std::byte* reserve(int64_t bytes, const std::string& holder) override { return memory_.reserve(bytes, holder); }
  void map(std::byte* at, int64_t bytes) override {
    require_works();
    end_departures();
    if (!memory_.has_pages_for(at, bytes)) {
      queues_.finish_all();
      end_departures();
    }
    memory_.map(at, bytes);
  }
  void unmap(std::byte* at, int64_t bytes) override {
    require_works();
    {
      const std::lock_guard lock(departing_);
      departures_.push_back({++departed_, {}});
      for (const queue each : {queue::compute, queue::upload, queue::download, queue::wire}) {
        departures_.back().after.push_back(queues_.record(each));
      }
      memory_.unmap(at, bytes, departed_);
    }
    end_departures();
  }
  void free(std::byte* range) override {
    queues_.finish_all();
    memory_.free(range);
  }
  int64_t page_bytes() const override { return page_bytes_; }
  memory_use use() const override { return memory_.use(); }
  std::unique_ptr<pinned_memory> pin(int64_t bytes) override {
    note(card_call::pin);
    if (bytes > most_pinned_) {
      throw error(errc::out_of_memory, "emulated card: {} bytes of the host cannot be pinned", bytes);
    }
    return std::make_unique<host_memory>(bytes);
  }

  void copy(queue in, void* to, const void* from, int64_t bytes) override {
    do_in(in, [=] { std::memmove(to, from, static_cast<size_t>(bytes)); });
  }
  void zero(queue in, void* at, int64_t bytes) override {
    do_in(in, [=] { std::memset(at, 0, static_cast<size_t>(bytes)); });
  }
  mark record(queue in) override {
    require_works();
    TROUPE_ASSERT(!stream_.records());
    return queues_.record(in);
  }
  void await(queue in, mark moment) override {
    TROUPE_ASSERT(!stream_.records());
    queues_.await(in, moment);
  }
  bool passed(mark moment) override {
    require_works();
    return queues_.passed(moment);
  }
  void finish(mark moment) override {
    require_works();
    TROUPE_ASSERT(!stream_.records());
    note(card_call::finish);
    if (hangs_ != nullptr && *hangs_) {
      std::this_thread::sleep_for(patience());
      throw error(errc::device_failure, "{}: its work is not done after {} s", name_,
                  std::chrono::duration<double>(patience()).count());
    }
    queues_.finish(moment);
  }

  std::unique_ptr<recording> record_calls(const std::function<void()>& calls) override {
    TROUPE_ASSERT(!stream_.records());
    note(card_call::record_calls);
    work_list work;
    stream_.record_into(&work);
    try {
      calls();
    } catch (...) {
      stream_.record_into(nullptr);
      throw;
    }
    stream_.record_into(nullptr);
    return std::make_unique<emulated_recording>(stream_, std::move(work), [this] { note(card_call::replay); });
  }

  std::string why_no_wire() override {
    return network_ != nullptr ? "" : "emulated card: it cannot be reached by the card of another process";
  }
  wire_id new_wire_id() override { return new_fake_wire_id(); }
  /// One rank alone needs nobody to reach it.
  std::unique_ptr<wire> join(const wire_id& id, int rank, int ranks, const std::string& name,
                             std::chrono::milliseconds deadline) override {
    require_works();
    if (network_ == nullptr && ranks > 1) {
      throw error(errc::unsupported, why_no_wire());
    }
    return (network_ != nullptr ? network_ : std::make_shared<wire_network>())
        ->join(id, rank, ranks, name, deadline,
               {.enqueue = [this](std::function<void()> work) { queues_.add(queue::wire, std::move(work)); },
                .open = [this](const std::function<void()>& work) { memory_.run(work); }});
  }

  /// Waits.
  void read_back(void* to, const void* from, int64_t bytes) {
    copy(queue::compute, to, from, bytes);
    queues_.finish(queues_.record(queue::compute));
  }

  work_stream& compute() { return stream_; }

  std::byte* scratch(int64_t bytes) {
    memory_.map(scratch_, bytes);
    stream_.add([this, bytes] { std::memset(scratch_, 0xFF, static_cast<size_t>(bytes)); });
    return scratch_;
  }

private:
  /// Pages that were given back, and when they leave: once all that was called before is done.
  struct departure {
    uint64_t number = 0;
    std::vector<mark> after;
  };

  void end_departures() {
    const std::lock_guard lock(departing_);
    std::erase_if(departures_, [this](const departure& one) {
      const bool over =
          std::all_of(one.after.begin(), one.after.end(), [this](mark moment) { return queues_.passed(moment); });
      if (over) {
        memory_.end(one.number);
      }
      return over;
    });
  }

  void require_works() const {
    if (failed_ != nullptr && *failed_) {
      throw error(errc::device_failure, "{}: it has failed", name_);
    }
  }

  /// While calls are recorded the other queues have no place in the recording.
  void do_in(queue in, std::function<void()> work) {
    TROUPE_ASSERT(in == queue::compute || !stream_.records());
    in == queue::compute ? stream_.add(std::move(work)) : stream_.add_to(in, std::move(work));
  }

  void note(card_call call) {
    if (calls_ != nullptr) {
      calls_->push_back(call);
    }
  }

  device_facts facts_;
  int64_t page_bytes_;
  card_memory memory_;
  work_queues queues_;
  work_stream stream_;
  std::mutex departing_;
  std::vector<departure> departures_;
  uint64_t departed_ = 0;
  std::byte* scratch_;
  std::shared_ptr<wire_network> network_;
  std::vector<card_call>* calls_;
  const bool* failed_;
  int64_t most_pinned_;
  const bool* hangs_;
  std::string name_;
};

emulated_card& card_of(context& ctx) { return static_cast<emulated_card&>(*ctx.on); }

}  // namespace

std::unique_ptr<device> make_card(const card_options& options) { return std::make_unique<emulated_card>(options); }

}  // namespace troupe::emulation

namespace troupe::kernels::cuda {

stream_t compute_stream(context& ctx) { return &emulation::card_of(ctx).compute(); }

std::byte* scratch(context& ctx, int64_t bytes) { return emulation::card_of(ctx).scratch(bytes); }

void read_back(context& ctx, void* to, const void* from, int64_t bytes) {
  emulation::card_of(ctx).read_back(to, from, bytes);
}

}  // namespace troupe::kernels::cuda

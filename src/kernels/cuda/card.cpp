#include "kernels/cuda/card.hpp"

#include "base/card_name.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"
#include "kernels/cuda/architectures.hpp"
#include "kernels/cuda/card_work.hpp"
#include "kernels/cuda/driver_memory.hpp"
#include "kernels/cuda/failure.hpp"
#include "kernels/cuda/lt_library.hpp"
#include "kernels/cuda/matrix.hpp"
#include "kernels/cuda/nccl_wire.hpp"
#include "kernels/cuda/table.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace troupe::kernels::cuda {

namespace {

using std::chrono_literals::operator""us;

/// In which a thread that waits asks again and again, before it sleeps between two questions.
constexpr auto eager = 50us;

/// A kernel's code, and what it needs besides registers, goes to the card when it is first started. Where the
/// driver finds no memory then, that start fails: it cannot ask the pool.
constexpr int64_t left_to_driver = int64_t{512} << 20;

constexpr const char* queue_names[] = {"compute", "upload", "download", "wire"};

constexpr int code_for[] = {TROUPE_CUDA_ARCHITECTURES};

/// "13.0" of CUDA's 13000.
std::string dotted(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

/// The driver's own version, which CUDA does not tell; empty where the system does not either.
std::string driver_release() {
  std::array<char, 64> text{};
  if (std::FILE* file = std::fopen("/sys/module/nvidia/version", "r")) {
    const char* line = std::fgets(text.data(), text.size(), file);
    std::fclose(file);
    if (line != nullptr) {
      const std::string found = line;
      return found.substr(0, found.find('\n'));
    }
  }
  return "";
}

/// "GPU-" and the digits, as nvidia-smi has it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    const bool begins_group = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
    text += fmt::format("{}{:02x}", begins_group ? "-" : "", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

class pinned final : public pinned_memory {
public:
  pinned(int card, void* at, int64_t bytes) : card_(card), bytes_(bytes), at_(static_cast<std::byte*>(at)) {}
  ~pinned() override {
    if (!has_failed(card_)) {  // else that might wait for ever, and the memory goes with the process
      use_card_at_the_end(card_);
      cudaFreeHost(at_);
    }
  }
  pinned(const pinned&) = delete;
  pinned& operator=(const pinned&) = delete;

  std::byte* data() override { return at_; }
  int64_t bytes() const override { return bytes_; }

private:
  int card_;
  int64_t bytes_;
  std::byte* at_;
};

class graph final : public recording {
public:
  graph(int card, cudaStream_t stream, cudaGraphExec_t ready) : card_(card), stream_(stream), graph_(ready) {}
  ~graph() override {
    use_card_at_the_end(card_);
    cudaGraphExecDestroy(graph_);
  }
  graph(const graph&) = delete;
  graph& operator=(const graph&) = delete;

  void replay() override {
    use_card(card_);
    check(cudaGraphLaunch(graph_, stream_), ", when a recording was replayed");
  }

private:
  int card_;
  cudaStream_t stream_;
  cudaGraphExec_t graph_;
};

card& card_of(context& ctx) { return static_cast<card&>(*ctx.on); }

void tell(const std::string& line) { std::fprintf(stderr, "troupe: %s\n", line.c_str()); }

/// True: it has happened.
bool has_happened(cudaEvent_t event) {
  const cudaError_t result = cudaEventQuery(event);
  if (result == cudaErrorNotReady) {
    return false;
  }
  check(result, ", when it was asked whether work is done");
  return true;
}

}  // namespace

device_facts facts_of(int index) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), ", when its properties were asked for", index);
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::string release = driver_release();
  const size_t lt = cublasLtGetVersion();
  const std::string lt_text = fmt::format("{}.{}.{}", lt / 10000, lt % 10000 / 100, lt % 100);
  return {.name = properties.name,
          .driver = fmt::format("{}{}for CUDA {}", release, release.empty() ? "" : ", ", dotted(driver)),
          .libraries = fmt::format("CUDA {}, cuBLASLt {}", dotted(runtime), lt_text),
          .major = properties.major,
          .minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .bytes = static_cast<int64_t>(properties.totalGlobalMem),
          .uuid = uuid_text(properties.uuid)};
}

card::card(int index) : index_(index), facts_(facts_of(index)) {
  const std::string name = card_name(index, facts_.name, host_name());
  if (!has_code_for(code_for, facts_.major, facts_.minor)) {
    throw error(errc::unsupported, no_code_text(code_for, name, facts_.major, facts_.minor));
  }
  name_card(index, name);
  use_card(index);
  try {
    for (line& one : lines_) {
      check(cudaStreamCreateWithFlags(&one.stream, cudaStreamNonBlocking), ", when its queues were made");
    }
    // For tools that look for writes past an array: in pages they would not see where it ends.
    const bool whole = std::getenv("TROUPE_CUDA_WHOLE_RANGES") != nullptr;
    source_ = whole ? nullptr : driver_memory(index);
    const bool by_pages = source_ != nullptr;
    if (!by_pages) {
      source_ = whole_ranges();
      facts_.lacks =
          fmt::format("{}: each range keeps what it has once had",
                      whole ? "TROUPE_CUDA_WHOLE_RANGES is set" : "its driver cannot give memory back page by page");
    }
    scratch_bytes_ = by_pages ? facts_.bytes : int64_t{1} << 30;
    ranges_ =
        std::make_unique<page_ranges>(*source_, static_cast<work_clock&>(*this), name, by_pages ? left_to_driver : 0);
    scratch_ = ranges_->reserve(scratch_bytes_, "scratch");
    library_ = open_cublaslt();
    const products::own_kernels own{linear_forward, linear_backward_input, linear_backward_weight};
    const bool told = std::getenv("TROUPE_CUDA_TELL") != nullptr;
    products_ = std::make_unique<products>(*library_, own, told ? tell : nullptr);
  } catch (...) {
    close();
    throw;
  }
}

card::~card() {
  drop_kept();
  close();
}

/// Nothing here throws. A card that has failed refuses all of it, and one that hangs would be waited for: what such a
/// card has goes with the process.
void card::close() {
  if (has_failed(index_)) {
    static_cast<void>(library_.release());  // NOLINT(bugprone-unused-return-value)
    static_cast<void>(ranges_.release());   // NOLINT(bugprone-unused-return-value)
    return;
  }
  use_card_at_the_end(index_);
  for (line& one : lines_) {
    if (one.stream != nullptr) {
      cudaStreamSynchronize(one.stream);
    }
  }
  library_.reset();
  if (ranges_ != nullptr) {
    try {
      ranges_->free_all();
      ranges_.reset();
    } catch (const error&) {  // its memory goes with the process
      ranges_.release();      // NOLINT(bugprone-unused-return-value)
    }
  }
  for (line& one : lines_) {
    while (const auto event = one.marks.take_first()) {
      cudaEventDestroy(*event);
    }
    if (one.stream != nullptr) {
      cudaStreamDestroy(one.stream);
    }
  }
  for (cudaEvent_t event : spare_) {
    cudaEventDestroy(event);
  }
}

std::byte* card::reserve(int64_t bytes, const std::string& holder) {
  const std::lock_guard lock(guard_);
  use_card(index_);
  return ranges_->reserve(bytes, holder);
}

void card::map(std::byte* at, int64_t bytes) {
  const std::lock_guard lock(guard_);
  use_card(index_);
  ranges_->map(at, bytes);
}

void card::unmap(std::byte* at, int64_t bytes) {
  const std::lock_guard lock(guard_);
  use_card(index_);
  ranges_->unmap(at, bytes);
}

void card::free(std::byte* range) {
  const std::lock_guard lock(guard_);
  try {
    use_card(index_);
    ranges_->free(range);
  } catch (const error&) {  // a card that has failed: its memory goes with the process
  }
}

memory_use card::use() const {
  const std::lock_guard lock(guard_);
  use_card(index_);
  return ranges_->use();
}

/// For what takes memory of the card by itself, past the pool: where there is none, the pool gives back what it has
/// free, and the call is made once more.
cudaError_t card::with_free_memory(const std::function<cudaError_t()>& call) {
  const cudaError_t result = call();
  if (result != cudaErrorMemoryAllocation) {
    return result;
  }
  static_cast<void>(cudaGetLastError());  // or the next launch would find it
  const std::lock_guard lock(guard_);
  return !recording_ && ranges_->give_back_free() ? call() : result;
}

std::unique_ptr<pinned_memory> card::pin(int64_t bytes) {
  use_card(index_);
  void* at = nullptr;
  const cudaError_t result =
      with_free_memory([&] { return cudaHostAlloc(&at, static_cast<size_t>(bytes), cudaHostAllocDefault); });
  check(result, result == cudaErrorMemoryAllocation
                    ? ", when memory of the host was pinned: of the host's there is too little, not of the card's"
                    : ", when memory of the host was pinned");
  return std::make_unique<pinned>(index_, at, bytes);
}

cudaStream_t card::stream(queue of) {
  use_card(index_);
  return lines_[static_cast<size_t>(of)].stream;
}

std::byte* card::scratch(int64_t bytes) {
  const std::lock_guard lock(guard_);
  if (bytes > scratch_bytes_) {
    throw error(errc::out_of_memory, "card {} ({}): {} bytes of scratch, and there are {}", index_, facts_.name, bytes,
                scratch_bytes_);
  }
  if (bytes > scratch_mapped_) {
    map(scratch_, bytes);
    scratch_mapped_ = bytes;
  }
  return scratch_;
}

void card::copy(queue in, void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream(in)), " in a copy");
}

void card::zero(queue in, void* at, int64_t bytes) {
  check(cudaMemsetAsync(at, 0, static_cast<size_t>(bytes), stream(in)), ", when memory was set to zero");
}

void card::refuse_in_recording(const char* what) const {
  if (recording_) {
    throw error(errc::bad_argument, "card {}: {} within a recording, which holds calls of the compute queue alone",
                index_, what);
  }
}

cudaEvent_t card::spare_event() {
  if (spare_.empty()) {
    cudaEvent_t made = nullptr;
    check(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), ", when an event was made");
    return made;
  }
  const cudaEvent_t event = spare_.back();
  spare_.pop_back();
  return event;
}

void card::forget_passed(line& of) {
  while (const auto event = of.marks.take_passed(has_happened)) {
    spare_.push_back(*event);
  }
}

mark card::record(queue in) {
  const std::lock_guard lock(guard_);
  refuse_in_recording("a mark");
  const cudaStream_t stream = this->stream(in);
  line& of = lines_[static_cast<size_t>(in)];
  const std::lock_guard marks_lock(marks_guard_);
  forget_passed(of);
  const cudaEvent_t event = spare_event();
  check(cudaEventRecord(event, stream), ", when a moment was marked");
  return of.marks.add(event) * lines_.size() + static_cast<size_t>(in);
}

card::line& card::line_of(mark moment) { return lines_[moment % lines_.size()]; }

bool card::has_passed(mark moment) {
  const std::lock_guard lock(marks_guard_);
  forget_passed(line_of(moment));
  return !line_of(moment).marks.find(moment / lines_.size());
}

/// Without `guard_`, which a thread that waits for this very moment may hold.
bool card::passed(mark moment) {
  use_card(index_);
  return has_passed(moment);
}

void card::await(queue in, mark moment) {
  const std::lock_guard lock(guard_);
  refuse_in_recording("a wait");
  const std::lock_guard marks_lock(marks_guard_);
  if (const auto event = line_of(moment).marks.find(moment / lines_.size())) {
    check(cudaStreamWaitEvent(stream(in), *event, 0), ", when a queue was made to wait");
  }
}

void card::finish(mark moment) {
  auto begun = std::chrono::steady_clock::now();
  for (;;) {
    {
      const std::lock_guard lock(guard_);  // not over the sleep: others go on
      refuse_in_recording("a wait");
      use_card(index_);
      if (has_passed(moment)) {
        return;
      }
    }
    const auto now = std::chrono::steady_clock::now();
    begun = waits_for_others() ? now : begun;
    const auto waited = now - begun;
    if (waited > patience()) {
      give_up(index_, fmt::format("the work of its {} queue is not done after {} s",
                                  queue_names[static_cast<size_t>(moment % lines_.size())],
                                  std::chrono::duration<double>(patience()).count()));
    }
    if (waited > eager) {
      std::this_thread::sleep_for(eager);
    }
  }
}

std::unique_ptr<recording> card::record_calls(const std::function<void()>& calls) {
  const std::lock_guard lock(guard_);
  refuse_in_recording("a recording");
  const cudaStream_t compute = stream(queue::compute);
  // Relaxed: other threads, and pages that a call may need, go on as ever.
  check(cudaStreamBeginCapture(compute, cudaStreamCaptureModeRelaxed), ", when a recording was begun");
  recording_ = true;
  cudaGraph_t recorded = nullptr;
  try {
    calls();
  } catch (...) {
    recording_ = false;
    cudaStreamEndCapture(compute, &recorded);
    static_cast<void>(cudaGetLastError());  // of a recording that is invalid, or the next launch would find it
    if (recorded != nullptr) {
      cudaGraphDestroy(recorded);
    }
    throw;
  }
  recording_ = false;
  check(cudaStreamEndCapture(compute, &recorded), ", when a recording was ended");
  cudaGraphExec_t ready = nullptr;
  cudaError_t result{};
  try {
    result = with_free_memory([&] {
      cudaError_t made = cudaGraphInstantiate(&ready, recorded, 0);
      if (made == cudaSuccess) {
        made = cudaGraphUpload(ready, compute);  // now, or the first replay would look for its memory
        if (made != cudaSuccess) {
          cudaGraphExecDestroy(ready);
        }
      }
      return made;
    });
  } catch (...) {  // of the wait for work that uses the memory
    cudaGraphDestroy(recorded);
    throw;
  }
  cudaGraphDestroy(recorded);
  check(result, ", when a recording was made ready");
  return std::make_unique<graph>(index_, compute, ready);
}

std::string card::why_no_wire() {
  std::string why;
  return nccl_version(why).empty() ? fmt::format("{}: {}", called(index_), why) : "";
}

wire_id card::new_wire_id() { return new_nccl_id(); }

std::unique_ptr<wire> card::join(const wire_id& id, int rank, int ranks, const std::string& name,
                                 std::chrono::milliseconds deadline) {
  return join_nccl(index_, stream(queue::wire), id, rank, ranks, name, deadline);
}

/// The kernels of this folder, but for large products.
const device_ops& card::ops() const {
  static const device_ops table = [] {
    device_ops all = cuda::ops();
    all.linear_forward = [](context& ctx, const linear_args& args) {
      card& on = card_of(ctx);
      on.large_products().forward(ctx, args, !on.records());
    };
    all.linear_backward_input = [](context& ctx, const linear_backward_input_args& args) {
      card_of(ctx).large_products().backward_input(ctx, args);
    };
    all.linear_backward_weight = [](context& ctx, const linear_backward_weight_args& args) {
      card_of(ctx).large_products().backward_weight(ctx, args);
    };
    return all;
  }();
  return table;
}

stream_t compute_stream(context& ctx) { return card_of(ctx).stream(queue::compute); }

std::byte* scratch(context& ctx, int64_t bytes) { return card_of(ctx).scratch(bytes); }

void read_back(context& ctx, void* to, const void* from, int64_t bytes) {
  // A copy to memory that is not pinned returns when it is done, without a limit of time: so it begins when the work
  // before it is through.
  ctx.on->finish(ctx.on->record(queue::compute));
  ctx.on->copy(queue::compute, to, from, bytes);
  ctx.on->finish(ctx.on->record(queue::compute));
}

work_clock::moment card::now() {
  moment all{};
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = record(static_cast<queue>(i));
  }
  return all;
}

bool card::passed(const moment& then) {
  return std::all_of(then.begin(), then.end(), [&](mark one) { return has_passed(one); });
}

void card::wait(const moment& then) {
  for (const mark one : then) {
    finish(one);
  }
}

}  // namespace troupe::kernels::cuda

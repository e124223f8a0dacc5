/// A card of this host, by CUDA.
#pragma once

#include "base/device.hpp"
#include "kernels/cuda/mark_line.hpp"
#include "kernels/cuda/page_ranges.hpp"
#include "kernels/cuda/products.hpp"

#include <cuda_runtime_api.h>

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {

/// What CUDA tells of a card without opening it.
/// Errors  device_failure.
device_facts facts_of(int index);

class card final : public device, work_clock {
public:
  /// Errors  unsupported: the module has no code for it; device_failure.
  explicit card(int index);
  ~card() override;

  const device_facts& facts() const override { return facts_; }
  const device_ops& ops() const override;

  std::byte* reserve(int64_t bytes, const std::string& holder) override;
  void map(std::byte* at, int64_t bytes) override;
  void unmap(std::byte* at, int64_t bytes) override;
  void free(std::byte* range) override;
  int64_t page_bytes() const override { return page_size; }
  memory_use use() const override;
  std::unique_ptr<pinned_memory> pin(int64_t bytes) override;

  void copy(queue in, void* to, const void* from, int64_t bytes) override;
  void zero(queue in, void* at, int64_t bytes) override;
  mark record(queue in) override;
  void await(queue in, mark moment) override;
  bool passed(mark moment) override;
  void finish(mark moment) override;
  std::unique_ptr<recording> record_calls(const std::function<void()>& calls) override;

  std::string why_no_wire() override;
  wire_id new_wire_id() override;
  std::unique_ptr<wire> join(const wire_id& id, int rank, int ranks, const std::string& name,
                             std::chrono::milliseconds deadline) override;

  // For kernels: card_work.hpp.
  cudaStream_t stream(queue of);
  bool records() const { return recording_; }
  products& large_products() { return *products_; }
  std::byte* scratch(int64_t bytes);  ///< its address never changes, so that recordings may hold it

private:
  struct line {
    cudaStream_t stream = nullptr;
    mark_line<cudaEvent_t> marks;
  };

  moment now() override;
  bool passed(const moment& then) override;
  void wait(const moment& then) override;
  line& line_of(mark moment);
  void forget_passed(line& of);
  bool has_passed(mark moment);
  cudaEvent_t spare_event();
  void refuse_in_recording(const char* what) const;
  cudaError_t with_free_memory(const std::function<cudaError_t()>& call);
  void close();

  int index_;
  device_facts facts_;
  std::array<line, 4> lines_;  ///< their marks, and `spare_`, under marks_guard_
  std::vector<cudaEvent_t> spare_;
  bool recording_ = false;  ///< calls of the compute queue are recorded, not done
  std::unique_ptr<page_source> source_;
  std::unique_ptr<page_ranges> ranges_;
  std::unique_ptr<product_library> library_;
  std::unique_ptr<products> products_;
  std::byte* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0, scratch_mapped_ = 0;
  std::mutex marks_guard_;              ///< never held over a wait
  mutable std::recursive_mutex guard_;  ///< actors call from threads of their own; `ranges_` asks for moments
};

}  // namespace troupe::kernels::cuda

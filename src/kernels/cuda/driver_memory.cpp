#include "kernels/cuda/driver_memory.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"
#include "kernels/cuda/failure.hpp"

#include <cuda.h>

namespace troupe::kernels::cuda {

namespace {

/// A function of the driver, which this library is not linked with. Null: this driver has none of that name.
template <class Function> Function* driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult outcome{};
  constexpr unsigned first_version_with_all = 12000;
  const cudaError_t result =
      cudaGetDriverEntryPointByVersion(name, &found, first_version_with_all, cudaEnableDefault, &outcome);
  return result == cudaSuccess && outcome == cudaDriverEntryPointSuccess ? reinterpret_cast<Function*>(found) : nullptr;
}

/// Those used here. Their types are those of the header's declarations.
struct driver_functions {
  decltype(&cuDeviceGetAttribute) attribute = driver_function<decltype(cuDeviceGetAttribute)>("cuDeviceGetAttribute");
  decltype(&cuGetErrorString) words = driver_function<decltype(cuGetErrorString)>("cuGetErrorString");
  decltype(&cuMemAddressReserve) reserve = driver_function<decltype(cuMemAddressReserve)>("cuMemAddressReserve");
  decltype(&cuMemAddressFree) give_back = driver_function<decltype(cuMemAddressFree)>("cuMemAddressFree");
  decltype(&cuMemCreate) create = driver_function<decltype(cuMemCreate)>("cuMemCreate");
  decltype(&cuMemRelease) release = driver_function<decltype(cuMemRelease)>("cuMemRelease");
  decltype(&cuMemMap) map = driver_function<decltype(cuMemMap)>("cuMemMap");
  decltype(&cuMemUnmap) unmap = driver_function<decltype(cuMemUnmap)>("cuMemUnmap");
  decltype(&cuMemSetAccess) set_access = driver_function<decltype(cuMemSetAccess)>("cuMemSetAccess");
  decltype(&cuMemGetAllocationGranularity) granularity =
      driver_function<decltype(cuMemGetAllocationGranularity)>("cuMemGetAllocationGranularity");

  bool all() const {
    return attribute != nullptr && words != nullptr && reserve != nullptr && give_back != nullptr &&
           create != nullptr && release != nullptr && map != nullptr && unmap != nullptr && set_access != nullptr &&
           granularity != nullptr;
  }
};

CUdeviceptr address(const std::byte* at) { return reinterpret_cast<CUdeviceptr>(at); }

int64_t free_and_total(bool total) {
  size_t free = 0;
  size_t all = 0;
  check(cudaMemGetInfo(&free, &all), ", when its memory was asked for");
  return static_cast<int64_t>(total ? all : free);
}

class mapped_memory final : public page_source {
public:
  mapped_memory(driver_functions driver, int card) : driver_(driver), card_(card) {
    kind_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    kind_.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = card};
    access_ = {.location = kind_.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  }

  /// Whether the driver maps in pages of ours.
  bool fits() const {
    size_t least = 0;
    return driver_.granularity(&least, &kind_, CU_MEM_ALLOC_GRANULARITY_MINIMUM) == CUDA_SUCCESS && least > 0 &&
           page_size % static_cast<int64_t>(least) == 0;
  }

  std::byte* reserve(int64_t bytes) override {
    CUdeviceptr at = 0;
    require(driver_.reserve(&at, whole_pages(bytes), static_cast<size_t>(large_piece), 0, 0), "addresses");
    return reinterpret_cast<std::byte*>(at);
  }
  void give_back(std::byte* at, int64_t bytes) override {
    driver_.give_back(address(at), whole_pages(bytes));  // also of a card that has failed
  }
  std::optional<piece> create(int64_t bytes) override {
    CUmemGenericAllocationHandle made = 0;
    return there_is(driver_.create(&made, static_cast<size_t>(bytes), &kind_, 0), "memory") ? std::optional<piece>(made)
                                                                                            : std::nullopt;
  }
  void destroy(piece memory) override { driver_.release(memory); }
  bool map(std::byte* at, int64_t bytes, piece memory) override {
    return there_is(driver_.map(address(at), static_cast<size_t>(bytes), 0, memory, 0), "pages");
  }
  bool open(std::byte* at, int64_t bytes) override {
    return there_is(driver_.set_access(address(at), static_cast<size_t>(bytes), &access_, 1), "pages");
  }
  void unmap(std::byte* at, int64_t bytes) override { driver_.unmap(address(at), static_cast<size_t>(bytes)); }
  int64_t free() override { return free_and_total(false); }
  int64_t total() override { return free_and_total(true); }

private:
  static size_t whole_pages(int64_t bytes) { return static_cast<size_t>(round_up(bytes, page_size)); }

  /// False: memory has run out.
  bool there_is(CUresult result, const char* what) const {
    if (result != CUDA_ERROR_OUT_OF_MEMORY) {
      require(result, what);
    }
    return result == CUDA_SUCCESS;
  }

  void require(CUresult result, const char* what) const {
    if (result != CUDA_SUCCESS) {
      const char* words = nullptr;
      driver_.words(result, &words);
      throw error(errc::device_failure, "{}: its driver gives no {}: {}", called(card_), what,
                  words != nullptr ? words : "an error without words");
    }
  }

  driver_functions driver_;
  int card_;
  CUmemAllocationProp kind_{};
  CUmemAccessDesc access_{};
};

class whole_memory final : public page_source {
public:
  std::byte* reserve(int64_t bytes) override {
    void* at = nullptr;
    check(cudaMalloc(&at, static_cast<size_t>(bytes)), ", when a range was made");
    return static_cast<std::byte*>(at);
  }
  void give_back(std::byte* at, int64_t) override { cudaFree(at); }
  std::optional<piece> create(int64_t) override { return 0; }
  void destroy(piece) override {}
  bool map(std::byte*, int64_t, piece) override { return true; }
  bool open(std::byte*, int64_t) override { return true; }
  void unmap(std::byte*, int64_t) override {}
  int64_t free() override { return free_and_total(false); }
  int64_t total() override { return free_and_total(true); }
};

}  // namespace

std::unique_ptr<page_source> driver_memory(int card) {
  const driver_functions driver;
  int can = 0;
  if (!driver.all() ||
      driver.attribute(&can, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, card) != CUDA_SUCCESS ||
      can == 0) {
    return nullptr;
  }
  auto memory = std::make_unique<mapped_memory>(driver, card);
  return memory->fits() ? std::move(memory) : nullptr;
}

std::unique_ptr<page_source> whole_ranges() { return std::make_unique<whole_memory>(); }

}  // namespace troupe::kernels::cuda

#include "kernels/cuda/nccl_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>

namespace troupe::kernels::cuda {

namespace {

/// The first that has all of the functions, and communicators that do not block in their calls.
constexpr int first_version = 21800;

/// Calls take their structures as the header has them, which later libraries know and those of another major do not.
constexpr int one_major = 10000;

std::string dotted(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

std::string dl_words() {
  const char* said = ::dlerror();
  std::string text = said != nullptr ? said : "it tells no reason";
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Finds functions, and the first that is missing.
struct finder {
  void* library;
  std::string missing;

  template <class Function> void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (function == nullptr && missing.empty()) {
      missing = name;
    }
  }
};

std::string find_all(nccl_library& all, void* library) {
  finder in{library, ""};
  in.find(all.get_version, "ncclGetVersion");
  in.find(all.get_unique_id, "ncclGetUniqueId");
  in.find(all.init_rank, "ncclCommInitRankConfig");
  in.find(all.get_async_error, "ncclCommGetAsyncError");
  in.find(all.finalize, "ncclCommFinalize");
  in.find(all.destroy, "ncclCommDestroy");
  in.find(all.abort, "ncclCommAbort");
  in.find(all.group_start, "ncclGroupStart");
  in.find(all.group_end, "ncclGroupEnd");
  in.find(all.send, "ncclSend");
  in.find(all.receive, "ncclRecv");
  in.find(all.all_gather, "ncclAllGather");
  in.find(all.broadcast, "ncclBroadcast");
  in.find(all.error_string, "ncclGetErrorString");
  in.find(all.last_error, "ncclGetLastError");
  return in.missing;
}

nccl_library without(std::string why) {
  nccl_library none;
  none.why_none = std::move(why);
  return none;
}

}  // namespace

nccl_library load_nccl(const std::string& file) {
  void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return without(fmt::format("NCCL cannot be loaded: {}", dl_words()));
  }
  nccl_library all;
  if (const std::string missing = find_all(all, library); !missing.empty()) {
    return without(fmt::format("{} is no NCCL that can be used: it has no {}", file, missing));
  }
  int version = 0;
  all.get_version(&version);
  if (version < first_version || version / one_major != NCCL_MAJOR) {
    return without(fmt::format("{} is NCCL {}: one of 2.18 or later is needed", file, dotted(version)));
  }
  all.version = fmt::format("NCCL {}", dotted(version));
  return all;
}

const nccl_library& nccl() {
  static const nccl_library loaded = load_nccl("libnccl.so.2");
  return loaded;
}

std::string nccl_words(const nccl_library& library, ncclResult_t result, ncclComm_t of) {
  const char* const last = library.last_error(of);
  std::string text = library.error_string(result);
  if (last != nullptr && *last != '\0') {
    text += fmt::format(" ({})", last);
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace troupe::kernels::cuda

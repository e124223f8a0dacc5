/// NCCL's functions, out of its library as it is found at run time.
#pragma once

#include <nccl.h>

#include <string>

namespace troupe::kernels::cuda {

struct nccl_library {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) init_rank = nullptr;
  decltype(&ncclCommGetAsyncError) get_async_error = nullptr;
  decltype(&ncclCommFinalize) finalize = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) receive = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclBroadcast) broadcast = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;
  decltype(&ncclGetLastError) last_error = nullptr;

  std::string version;   ///< "NCCL 2.28.9"
  std::string why_none;  ///< why the functions are null; empty: they are not
};

/// Opens `file`. Never fails: see why_none.
nccl_library load_nccl(const std::string& file);

/// libnccl.so.2, opened by the first call.
const nccl_library& nccl();

/// "unhandled system error: ..."; the words of NCCL's last error where there are any.
std::string nccl_words(const nccl_library& library, ncclResult_t result, ncclComm_t of);

}  // namespace troupe::kernels::cuda

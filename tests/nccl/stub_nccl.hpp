/// A library in NCCL's place that notes its calls and does as it is told.
#pragma once

#include <nccl.h>

extern "C" {

/// The calls since the last stub_begin: "start; send 16 at 8 to 1; end". Addresses count from the base.
const char* stub_calls();
void stub_begin(const void* base);
/// The next group, and the next communicator, take so many looks to be through, and come to this result.
void stub_next(int looks, ncclResult_t result);
/// What a look finds from now on.
void stub_state(ncclResult_t result);

}  // extern "C"

/// What CUDA refuses, as errors of Troupe.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace troupe::kernels::cuda {

/// The card that this thread's calls go to from now on. Cheap where it is the one already.
/// Errors  device_failure: that card has failed before.
void use_card(int index);

/// The same where a destructor turns to a card, which asks no more of one that has failed: nothing is thrown.
void use_card_at_the_end(int index) noexcept;

/// What errors call a card from now on: "card 0 (NVIDIA H100, host x)".
void name_card(int index, std::string name);

/// By name_card; "card 0 (of unknown model, host x)" of one that has no name yet.
std::string called(int index);

/// Throws where `result` is an error. After most of them a card does nothing any more: later calls fail with the same
/// text. `doing` ends the sentence: "card 0 (NVIDIA H100, host x): an illegal memory access was encountered" + `doing`.
/// The card is the one that this thread's calls go to, or `index`.
/// Errors  out_of_memory; device_failure
void check(cudaError_t result, const char* doing);
void check(cudaError_t result, const char* doing, int index);

/// The same of the card that this thread's calls go to.
std::string called();

/// Throws that a card has not done in time what it was given: "card 0 (...): " + `what`, and the last kernel that was
/// started. Like one that has failed, it is asked for nothing any more.
[[noreturn]] void give_up(int index, const std::string& what);

/// Whether it has failed, or was given up: calls that wait for it might never return.
bool has_failed(int index);

/// After a kernel has been started (thread.cuh).
/// Errors  device_failure: the kernel could not be started, by name.
void check_launch(const void* kernel);

}  // namespace troupe::kernels::cuda

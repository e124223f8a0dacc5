#include "engine/cards/card_module.hpp"

#include "base/card_name.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>

namespace troupe::engine {

namespace {

constexpr const char* library = "libtroupe_cuda.so";

/// Where this program is; empty where the system does not tell.
std::string program_folder() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string found(path.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
  return found.substr(0, found.rfind('/') + 1);
}

/// The word of dlerror(), on one line.
std::string loading_failure() {
  const char* said = ::dlerror();
  std::string text = said != nullptr ? said : "it tells no reason";
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// One card that fails leaves the others as they are.
card_answer ask(const kernels::device_module& module, int index) {
  try {
    return {.facts = module.facts(index)};
  } catch (const error& failure) {
    const std::string text = failure.what();
    return {.failure = find_card_name(text) ? text : fmt::format("{}: {}", card_name(index, "", host_name()), text)};
  }
}

}  // namespace

module_places usual_places() {
  if (const char* given = std::getenv("TROUPE_CUDA_MODULE")) {
    return {.driver = "", .modules = {given}};
  }
  const std::string folder = program_folder();
  return {.modules = {folder + library, folder + TROUPE_MODULE_FOLDER + library}};
}

card_module::card_module(const module_places& places) : why_none_(load(places)) {
  if (!why_none_.empty()) {
    return;
  }
  std::string why;
  const int count = module_->count(why);
  for (int i = 0; i < count; ++i) {
    answers_.push_back(ask(*module_, i));
  }
  why_none_ = count > 0 ? "" : fmt::format("the driver of this host's cards gives none: {}", why);
}

/// Why there is no module; empty: there is.
std::string card_module::load(const module_places& places) {
  if (!places.driver.empty() && ::dlopen(places.driver.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    return fmt::format("this host has no NVIDIA driver ({})", loading_failure());
  }
  const auto path = std::find_if(places.modules.begin(), places.modules.end(),
                                 [](const std::string& each) { return ::access(each.c_str(), F_OK) == 0; });
  if (path == places.modules.end()) {
    return fmt::format("there is a driver, and no module for it: {} is not there. `make cuda` builds it",
                       places.modules.empty() ? library : places.modules.front());
  }
  void* const loaded = ::dlopen(path->c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    return fmt::format("the module for cards cannot be loaded: {}", loading_failure());
  }
  void* const found = ::dlsym(loaded, kernels::device_module_function);
  if (found == nullptr) {
    return fmt::format("{} is not a module of this program: it has no {}", *path, kernels::device_module_function);
  }
  const kernels::device_module* face = reinterpret_cast<kernels::get_device_module>(found)();
  if (face->abi != kernels::device_module_abi()) {
    return fmt::format("{} is a module of another version of this program: build both from the same sources (`make "
                       "cuda`)",
                       *path);
  }
  module_ = face;
  return "";
}

const device_facts* card_module::first_facts() const {
  const auto first =
      std::find_if(answers_.begin(), answers_.end(), [](const card_answer& one) { return one.failure.empty(); });
  return first != answers_.end() ? &first->facts : nullptr;
}

std::string card_module::wires() const {
  std::string why_none;
  const std::string found = module_->wires(why_none);
  return found.empty() ? fmt::format("none: {}", why_none) : found;
}

std::unique_ptr<device> card_module::open(int index) const {
  if (index < 0 || index >= cards()) {
    throw error(errc::bad_argument, "there is no card {}: {}", index,
                why_none_.empty() ? fmt::format("this process has {}, counted from 0", cards()) : why_none_);
  }
  if (const std::string& failure = answers_[static_cast<size_t>(index)].failure; !failure.empty()) {
    throw error(errc::device_failure, failure);
  }
  return module_->open(index);
}

}  // namespace troupe::engine

#include "actors/protocol/error_replies.hpp"

namespace troupe::actors {

caf::error to_caf_error(const std::exception& failure) {
  int32_t code = -1;
  std::string text = failure.what();
  if (const auto* ours = dynamic_cast<const error*>(&failure)) {
    code = static_cast<int32_t>(ours->code());
  } else if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    code = static_cast<int32_t>(errc::out_of_memory);
    text = "out of memory: `troupe plan` says what the job needs";
  }
  return caf::make_error(caf::sec::runtime_error, code, std::move(text));
}

error to_troupe_error(const caf::error& reason) {
  const caf::message& context = reason.context();
  if (reason == caf::sec::runtime_error && context.match_elements<int32_t, std::string>()) {
    const auto code = context.get_as<int32_t>(0);
    const auto& text = context.get_as<std::string>(1);
    return {code >= 0 ? static_cast<errc>(code) : errc::unsupported, text};
  }
  return {errc::lost_peer, "a part of the worker stopped answering: " + caf::to_string(reason)};
}

bool found_by_all(const error& failure) { return failure.code() == errc::not_finite; }

}  // namespace troupe::actors

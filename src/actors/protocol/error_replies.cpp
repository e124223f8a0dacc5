#include "actors/protocol/error_replies.hpp"

#include "actors/protocol/type_ids.hpp"

#include <utility>

namespace troupe::actors {

static caf::error reply_of(errc code, std::string text) {
  return caf::make_error(caf::sec::runtime_error, code, std::move(text));
}

caf::error to_caf_error(const std::exception& failure) {
  if (const auto* ours = dynamic_cast<const error*>(&failure)) {
    return reply_of(ours->code(), failure.what());
  }
  if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    return reply_of(errc::out_of_memory, "out of memory: `troupe plan` says what the job needs");
  }
  return reply_of(errc::unsupported, failure.what());
}

error to_troupe_error(const caf::error& reason) {
  const caf::message& context = reason.context();
  if (reason == caf::sec::runtime_error && context.match_elements<errc, std::string>()) {
    return {context.get_as<errc>(0), context.get_as<std::string>(1)};
  }
  return {errc::lost_peer, "a part of the worker stopped answering: " + caf::to_string(reason)};
}

bool found_by_all(const error& failure) {
  return failure.code() == errc::not_finite || failure.code() == errc::not_exact;
}

}  // namespace troupe::actors

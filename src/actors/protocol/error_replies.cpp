#include "actors/protocol/error_replies.hpp"

#include "actors/protocol/type_ids.hpp"

#include <new>
#include <system_error>
#include <utility>

namespace troupe::actors {

/// Of std::thread, which knows no other reason.
static bool lacks_resources(const std::error_code& why) {
  return why == std::errc::resource_unavailable_try_again || why == std::errc::not_enough_memory;
}

error to_troupe_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const error& ours) {
    return ours;
  } catch (const std::bad_alloc&) {
    return {errc::out_of_memory, "out of memory: `troupe plan` says what the job needs"};
  } catch (const std::system_error& refused) {
    if (lacks_resources(refused.code())) {
      return {errc::out_of_memory,
              "a thread, or what one needs, could not be had ({}): `ulimit -u`, `ulimit -v` and the job's own limits "
              "say how much there may be",
              refused.what()};
    }
    return {errc::unsupported, "{}", refused.what()};
  } catch (const std::exception& known) {
    return {errc::unsupported, "{}", known.what()};
  } catch (...) {
    return {errc::unsupported, "an exception of no known type"};
  }
}

caf::error to_caf_error(const error& failure) {
  return caf::make_error(caf::sec::runtime_error, failure.code(), std::string(failure.what()));
}

bool is_told(const caf::error& reason) {
  return reason == caf::sec::runtime_error && reason.context().match_elements<errc, std::string>();
}

error to_troupe_error(const caf::error& reason) {
  const caf::message& context = reason.context();
  if (is_told(reason)) {
    return {context.get_as<errc>(0), context.get_as<std::string>(1)};
  }
  return {errc::lost_peer, "a part of the worker stopped answering: " + caf::to_string(reason)};
}

bool found_by_all(const error& failure) {
  return failure.code() == errc::not_finite || failure.code() == errc::not_exact;
}

}  // namespace troupe::actors

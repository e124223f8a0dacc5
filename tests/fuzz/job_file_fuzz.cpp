// Any bytes are either a job, which then reads back equal from its resolved text, or one clear
// error.
#include "base/assert.hpp"
#include "base/error.hpp"
#include "io/job/job.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const troupe::io::job_origin origin{.name = "job.ini", .stem = "job", .folder = "/jobs", .current = "/home/me"};
  try {
    const troupe::io::job job = troupe::io::parse_job(text, origin);
    TROUPE_ASSERT(troupe::io::parse_job(troupe::io::job_text(job), origin) == job);
  } catch (const troupe::error& e) {
    TROUPE_ASSERT(e.code() == troupe::errc::bad_argument);
  }
  return 0;
}

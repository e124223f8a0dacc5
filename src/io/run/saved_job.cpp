#include "io/run/saved_job.hpp"

#include "io/files/mapped_file.hpp"

namespace troupe::io {

job saved_job(const run_directory& run) {
  return parse_job(read_text_file(run.job()),
                   {.name = run.job().string(), .stem = "job", .folder = "/", .current = "/"});
}

}  // namespace troupe::io

#include "jobs/checked_job.hpp"

#include "actors/models/job_fit.hpp"
#include "io/datasets/recognise.hpp"
#include "io/files/mapped_file.hpp"
#include "io/job/origin.hpp"
#include "io/run/job_of_run.hpp"
#include "jobs/arguments.hpp"

#include <spdlog/spdlog.h>

#include <vector>

namespace troupe {

static io::job read_job(std::span<const std::string> arguments, needed_files files,
                        std::vector<std::string>& recognised) {
  if (files != needed_files::configs) {
    return io::load_job(arguments[0], arguments.subspan(1), io::recogniser(recognised));
  }
  io::job_origin origin = io::origin_of(arguments[0]);
  origin.recognise = io::recogniser(recognised);
  return io::parse_job(io::read_text_file(arguments[0]), origin, arguments.subspan(1));
}

static actors::needed_weights weights_of(needed_files files) {
  switch (files) {
  case needed_files::all:
    return actors::needed_weights::all;
  case needed_files::but_weights:
    return actors::needed_weights::those_there;
  case needed_files::configs:
    break;
  }
  return actors::needed_weights::none;
}

/// By what the run has done so far. That its files cannot be read is not the job's mistake.
static void settle(io::job& job) {
  try {
    io::settle_division(job);
  } catch (const error& failure) {
    if (failure.code() == errc::bad_argument) {
      throw usage_error("{}", failure.what());
    }
    throw;
  }
}

io::job checked_job(std::span<const std::string> arguments, needed_files files) {
  std::vector<std::string> recognised;
  io::job job = from_user([&] { return read_job(arguments, files, recognised); });
  for (const std::string& line : recognised) {
    spdlog::info("{}", line);
  }
  settle(job);
  from_user([&] { actors::require_fit(job, weights_of(files)); });
  return job;
}

}  // namespace troupe

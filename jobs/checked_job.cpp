#include "jobs/checked_job.hpp"

#include "actors/models/job_fit.hpp"
#include "base/printable.hpp"
#include "io/datasets/recognise.hpp"
#include "io/files/mapped_file.hpp"
#include "jobs/arguments.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <vector>

namespace troupe {

static io::job read_job(std::span<const std::string> arguments, needed_files files,
                        std::vector<std::string>& recognised) {
  if (files == needed_files::all) {
    return io::load_job(arguments[0], arguments.subspan(1), io::recogniser(recognised));
  }
  const std::filesystem::path file = std::filesystem::absolute(arguments[0]);
  return io::parse_job(io::read_text_file(file),
                       {.name = arguments[0],
                        .stem = file.stem().string(),
                        .folder = file.parent_path().string(),
                        .current = std::filesystem::current_path().string(),
                        .recognise = io::recogniser(recognised)},
                       arguments.subspan(1));
}

io::job checked_job(std::span<const std::string> arguments, needed_files files) {
  std::vector<std::string> recognised;
  io::job job = from_user([&] { return read_job(arguments, files, recognised); });
  for (const std::string& line : recognised) {
    spdlog::info("{}", line);
  }
  from_user([&] {
    actors::require_fit(job);
    return 0;
  });
  return job;
}

}  // namespace troupe

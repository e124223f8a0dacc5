#include "io/job/rewards_of_job.hpp"

#include "io/files/mapped_file.hpp"
#include "io/job/options.hpp"
#include "io/job/origin.hpp"

namespace troupe::io {

job rewards_of_job(const std::string& path) {
  const std::string text = read_text_file(path);
  problem_list problems;
  job out = read_options(text, origin_of(path), {}, problems);
  check_reward_sources(out, problems);
  check_reward_files(out, problems);
  throw_if_any(problems, path);
  return out;
}

}  // namespace troupe::io

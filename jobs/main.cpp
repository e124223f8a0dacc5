#include "jobs/log.hpp"
#include "jobs/program.hpp"
#include "jobs/standard_streams.hpp"

#include "build_name.hpp"
#include <csignal>

int main(int argc, char** argv) {
  std::signal(SIGCHLD, SIG_DFL);  // whoever started this may ignore it: then no child's end could be waited for
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond `ulimit -f` is an error of that file, told as such
  troupe::hold_standard_streams();
  troupe::set_up_log();
  return troupe::run_program(argc, argv, troupe_build_name);
}

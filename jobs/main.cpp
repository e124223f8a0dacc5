#include "jobs/log.hpp"
#include "jobs/program.hpp"

int main(int argc, char** argv) {
  troupe::set_up_log();
  return troupe::run_program(argc, argv);
}

#include "engine/models/workspace.hpp"

namespace troupe::engine {

workspace& thread_workspace() {
  static thread_local workspace scratch;
  return scratch;
}

}  // namespace troupe::engine

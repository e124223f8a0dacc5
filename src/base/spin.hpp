/// Waiting for another thread that will be there in microseconds.
#pragma once

namespace troupe {

/// Turn `spin` of a loop that waits: a pause, and every 64th turn the core for another program.
void spin_pause(int spin);

}  // namespace troupe

/// TROUPE_HD marks functions that kernels of a card call as well as the host.
#pragma once

#ifdef __CUDACC__
#define TROUPE_HD __host__ __device__
#else
#define TROUPE_HD
#endif

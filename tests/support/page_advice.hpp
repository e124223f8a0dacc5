/// What the system has been told about the pages of an address.
#pragma once

#include <string>

namespace troupe::test {

/// The flags of the mapping that `address` lies in, as proc(5) names them ("hg": huge pages asked for, "nh": refused).
std::string mapping_flags(const void* address);

/// Whether this kernel has huge pages for anonymous memory at all.
bool has_huge_pages();

}  // namespace troupe::test

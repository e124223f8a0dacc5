/// The option by which commands choose the type of a model's weights in memory, as model.dtype does in a job.
#pragma once

#include "base/dtype.hpp"

#include <boost/program_options.hpp>

namespace troupe {

/// --dtype f32|bf16; f32 where it is not given.
/// Errors  usage_error, when arguments are parsed: another type.
void add_dtype_option(boost::program_options::options_description& options, dtype& chosen);

}  // namespace troupe

/// Names of kernels for people.
#pragma once

#include <string>
#include <string_view>

namespace troupe::kernels::cuda {

/// Of "void a::b::(anonymous namespace)::forward<float, 2>(float*, long)": "forward<float, 2>".
std::string short_function_name(std::string_view demangled);

}  // namespace troupe::kernels::cuda

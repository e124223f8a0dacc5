#include "kernels/cuda/architectures.hpp"
#include "kernels/cuda/short_name.hpp"

#include <gtest/gtest.h>

namespace troupe::kernels::cuda {
namespace {

constexpr int compiled[] = {80, 90};

TEST(Architectures, CodeRunsOnLaterCardsOfItsKind) {
  EXPECT_TRUE(has_code_for(compiled, 8, 0));
  EXPECT_TRUE(has_code_for(compiled, 8, 9));
  EXPECT_TRUE(has_code_for(compiled, 9, 0));
  EXPECT_FALSE(has_code_for(compiled, 7, 5));
  EXPECT_FALSE(has_code_for(compiled, 10, 0));
  constexpr int later[] = {86};
  EXPECT_FALSE(has_code_for(later, 8, 0));
}

TEST(Architectures, ACardWithoutCodeIsToldWhatToBuild) {
  EXPECT_EQ(no_code_text(compiled, "card 1 (NVIDIA B200)", 10, 0),
            "card 1 (NVIDIA B200) is of architecture 10.0, and this module has code for 8.0 and 9.0: build it with "
            "-DCMAKE_CUDA_ARCHITECTURES=100-real");
}

TEST(ShortFunctionName, LosesNamespacesAndParameters) {
  EXPECT_EQ(short_function_name("void troupe::cuda::(anonymous namespace)::forward<float, a::b>(float*, long)"),
            "forward<float, a::b>");
  EXPECT_EQ(short_function_name("forward(float*)"), "forward");
  EXPECT_EQ(short_function_name("main"), "main");
  EXPECT_EQ(short_function_name("(anonymous namespace)::f()"), "f");
}

}  // namespace
}  // namespace troupe::kernels::cuda

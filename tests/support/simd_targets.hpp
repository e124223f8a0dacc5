/// Running one test body for each instruction set that kernels are compiled for and this CPU has.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

/// AVX-512, AVX2 and the scalar fallback, as far as the CPU has them; best first.
inline std::vector<int64_t> simd_targets() {
  std::vector<int64_t> targets;
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_STATIC_TARGET}) {
    if ((hwy::SupportedTargets() & target) != 0) {
      targets.push_back(target);
    }
  }
  return targets;
}

/// Those of them that fuse multiply-add: they must agree in every bit.
inline std::vector<int64_t> fused_simd_targets() {
  std::vector<int64_t> targets = simd_targets();
  std::erase(targets, HWY_STATIC_TARGET);
  return targets;
}

/// While it lives, kernels run as compiled for `target`.
class simd_target_scope {
public:
  explicit simd_target_scope(int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~simd_target_scope() { hwy::SetSupportedTargetsForTest(0); }
  simd_target_scope(const simd_target_scope&) = delete;
  simd_target_scope& operator=(const simd_target_scope&) = delete;
};

inline std::string simd_target_name(const testing::TestParamInfo<int64_t>& info) { return hwy::TargetName(info.param); }

}  // namespace troupe::test

/// Operations of the card against the host's: the same bits where both promise them, else the error of the type.
#pragma once

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <set>

namespace troupe::gpu_check {

/// What has been compared, with operands of one type.
class comparison {
public:
  comparison(subject& of, dtype type) : of_(of), type_(type), arrays_(of.card) {}

  dtype type() const { return type_; }
  context& card() { return of_.on_card; }
  context& host() { return of_.on_host; }
  card_arrays& arrays() { return arrays_; }
  operand random(int64_t count, uint64_t stream, double scale = 1.0) {
    return arrays_.random(count, type_, stream, scale);
  }
  operand zeros(int64_t count) { return arrays_.zeros(count, type_); }

  /// One rounding to bfloat16 is 2^-9 at most; in float32 functions differ in their last bits.
  double one_rounding() const { return type_ == dtype::bf16 ? 0x1p-16 : 1e-11; }
  /// Where values that were rounded are computed with.
  double some_roundings() const { return type_ == dtype::bf16 ? 5e-5 : 1e-10; }

  /// `got` on the card, and what the host has made of the same. `limit`: of relative_error.
  void near(const char* operation, const_reals got, std::span<const float> want, double limit);
  void near(const char* operation, const operand& o, double limit) { near(operation, o.card, o.host, limit); }
  void near(const char* operation, const operand& o) { near(operation, o.card, o.host, one_rounding()); }
  /// The host's values are rounded to the operand's type first.
  void same(const char* operation, const operand& o);
  void same(const char* operation, double got, double want) { require(operation, got == want, "other bits"); }
  /// The same in float32, near in bfloat16.
  void same_in_f32(const char* operation, const operand& o);
  void require(const char* operation, bool good, const std::string& fault);

  std::set<std::string> compared;  ///< by their names in kernels/device_ops.hpp
  std::string faults;
  double worst = 0;

private:
  subject& of_;
  dtype type_;
  card_arrays arrays_;
};

/// A weight [outputs, inputs] of the comparison's type: on the card in rows, on the host in panels.
operand weight_of(comparison& t, int64_t outputs, int64_t inputs, uint64_t stream);

void compare_elements(comparison& t);
void compare_products(comparison& t);
void compare_attention(comparison& t);

}  // namespace troupe::gpu_check

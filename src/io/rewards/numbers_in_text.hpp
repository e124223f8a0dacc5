/// Numbers as people and models write them, with their exact values.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// An exact number.
struct text_number {
  std::string value;      ///< in lowest terms: "-3", "2049/2"
  std::string hundredth;  ///< value / 100, in lowest terms
  bool percent = false;   ///< a percent sign, or "percent", follows
  size_t begin = 0;       ///< in the text, sign included
  size_t end = 0;         ///< percent sign included
};

/// The same text with one spelling for what has several: minus signs, LaTeX's spaces, fractions and styles, spaces
/// within a number, full-width digits. What is read below must be spelt so.
std::string plain_spelling(std::string_view text);

/// All numbers of a plainly spelt text, in order. One number are: 7, -7, +7, 1,234,567.50, .5, 5., 1.5e-3, 2 x 10^3,
/// 10^3, 5/10, 5 / 10, 1 1/2, \frac{1}{2}, \frac12; $ and other decoration may stand between sign and digits. A minus
/// is a sign unless it joins two things (3-4, x-4) or stands apart (7 - 4). Exponents of units (cm^2) and subscripts
/// are no numbers. A number of more than 400 digits is passed over. Takes linear time.
std::vector<text_number> numbers_in(std::string_view text);

/// Is the text one number and nothing else that would change it: units, currency, words and punctuation may stand
/// beside? Of an equation its right side counts.
std::optional<text_number> only_number(std::string_view text);

}  // namespace troupe::io

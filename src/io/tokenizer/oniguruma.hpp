/// Regular expressions of tokenizer files: written for Oniguruma (the syntax of Ruby), said in the words of PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace troupe::io {

/// An expression of PCRE2 (under PCRE2_UTF and PCRE2_UCP, with \n as its newline) that matches where Oniguruma's does. What
/// the two read differently is spelt out: classes within classes, intersections, \h, \s, \w, \b, POSIX brackets, names of
/// properties, (?m), (?i) in mid-group, {n,m}+ and the like. Groups capture nothing.
/// Errors  unsupported, naming the construct and its byte, for what has no such translation or is not handled: back
/// references, conditionals, absent operators, (?x), letters that match several under (?i) ("ss" and ß).
std::string pcre2_of_oniguruma(std::string_view expression);

}  // namespace troupe::io

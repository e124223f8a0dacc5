/// Valence of a text by a word list: a deterministic rule reward.
/// Source  VADER, Hutto & Gilbert, ICWSM 2014; the file format is vaderSentiment's
/// vader_lexicon.txt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace troupe::io {

struct valence {
  double sum = 0;                ///< of the valences of the words found
  double normalised = 0;         ///< sum / sqrt(sum^2 + 15), in (-1, 1)
  double per_hundred_words = 0;  ///< 100 * sum / words; 0 without words
  int64_t words = 0, matched = 0;
};

/// Words are runs of letters, digits and apostrophes (ASCII, with any byte above 127 as a letter),
/// ASCII lower-cased, apostrophes at the ends stripped. Entries of the list that are no such word
/// (smileys) never match.
class lexicon {
public:
  /// Lines: token TAB mean valence [TAB ignored]. `name` is what errors call the text.
  /// Errors  bad_file with the line.
  static lexicon parse(std::string_view text, const std::string& name);

  /// Errors  not_found, bad_file.
  static lexicon load(const std::string& path);

  valence score(std::string_view text) const;
  size_t size() const { return words_.size(); }

private:
  std::unordered_map<std::string, double> words_;
};

}  // namespace troupe::io

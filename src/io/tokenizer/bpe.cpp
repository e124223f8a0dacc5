#include "io/tokenizer/bpe.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/tokenizer/utf8.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

namespace troupe::io {
namespace {

// Below this, scanning all neighbours for the lowest rank is faster than a heap.
constexpr size_t short_word_symbols = 48;

}  // namespace

void vocabulary::add(std::string text, int64_t id) {
  if (id < 0 || id >= token_id_limit) {
    throw error(errc::bad_file, "token \"{}\" has the id {}: it must be from 0 to {}", text, id, token_id_limit - 1);
  }
  if (id >= size()) {
    texts_.resize(static_cast<size_t>(id) + 1);
  }
  auto& place = texts_[static_cast<size_t>(id)];
  if (place != nullptr) {
    throw error(errc::bad_file, "id {} is given to two tokens: \"{}\" and \"{}\"", id, *place, text);
  }
  place = std::make_unique<std::string>(std::move(text));
  const auto [other, added] = ids_.try_emplace(*place, static_cast<int32_t>(id));
  if (!added) {
    throw error(errc::bad_file, "token \"{}\" has two ids: {} and {}", *place, other->second, id);
  }
}

std::optional<int32_t> vocabulary::find(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

const std::string* vocabulary::text_of(int64_t id) const {
  return id < 0 || id >= size() ? nullptr : texts_[static_cast<size_t>(id)].get();
}

// Direct-mapped: a word replaces the one that had its slot. One slot is one cache line.
class bpe_model::cache {
public:
  struct slot {
    uint8_t word_bytes = 0;
    uint8_t id_count = 0;
    std::array<char, 30> word{};
    std::array<int32_t, 8> ids{};
  };
  static_assert(sizeof(slot) == 64);

  static bool holds(std::string_view word) { return word.size() <= sizeof(slot::word); }

  slot& slot_of(std::string_view word) { return slots_[digest(word) % slots_.size()]; }

  static bool is_of(const slot& s, std::string_view word) {
    return s.word_bytes == word.size() && std::memcmp(s.word.data(), word.data(), word.size()) == 0;
  }

  static void store(slot& s, std::string_view word, const int32_t* ids, size_t count) {
    if (count > s.ids.size()) {
      return;
    }
    s.word_bytes = static_cast<uint8_t>(word.size());
    s.id_count = static_cast<uint8_t>(count);
    std::memcpy(s.word.data(), word.data(), word.size());
    std::copy(ids, ids + count, s.ids.begin());
  }

private:
  std::vector<slot> slots_ = std::vector<slot>(16384);
};

bpe_model::bpe_model(const vocabulary& words, const merge_list& merges, const bpe_options& options)
    : words_(words), options_(options), cache_(std::make_unique<cache>()) {
  set_byte_ids();
  rules_.resize(std::bit_ceil(2 * merges.size() + 2));
  int32_t rank = 0;
  std::string joined;
  for (const auto& [left, right] : merges) {
    joined.assign(left).append(right);
    const auto left_id = words.find(left);
    const auto right_id = words.find(right);
    const auto joined_id = words.find(joined);
    if (!left_id || !right_id || !joined_id) {
      throw error(errc::bad_file, "merge {} (\"{}\" and \"{}\"): \"{}\" is not in the vocabulary", rank, left, right,
                  !left_id    ? left
                  : !right_id ? right
                              : joined);
    }
    const uint64_t pair = uint64_t{static_cast<uint32_t>(*left_id)} << 32 | static_cast<uint32_t>(*right_id);
    add_merge({pair, rank++, *joined_id});
  }
}

bpe_model::~bpe_model() = default;

void bpe_model::set_byte_ids() {
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string text = options_.byte_level ? byte_alphabet()[byte] : fmt::format("<0x{:02X}>", byte);
    byte_ids_[byte] = words_.find(text).value_or(-1);
  }
}

void bpe_model::add_merge(const merge_rule& rule) {
  const size_t mask = rules_.size() - 1;
  size_t at = rule.pair * 0x9E3779B97F4A7C15u >> 20 & mask;
  while (rules_[at].pair != no_pair && rules_[at].pair != rule.pair) {
    at = (at + 1) & mask;
  }
  rules_[at] = rule;
}

const bpe_model::merge_rule* bpe_model::find_merge(int32_t left, int32_t right) const {
  const uint64_t pair = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  const size_t mask = rules_.size() - 1;
  size_t at = pair * 0x9E3779B97F4A7C15u >> 20 & mask;
  while (rules_[at].pair != pair) {
    if (rules_[at].pair == no_pair) {
      return nullptr;
    }
    at = (at + 1) & mask;
  }
  return &rules_[at];
}

void bpe_model::append_unknown(std::vector<int32_t>& symbols, bool& after_unknown) const {
  if (options_.unk && !(after_unknown && options_.fuse_unk)) {
    symbols.push_back(*options_.unk);
    after_unknown = true;
  }
}

void bpe_model::append_character(std::string_view character, std::vector<int32_t>& symbols, bool& after_unknown) const {
  if (const auto id = words_.find(character)) {
    symbols.push_back(*id);
    after_unknown = false;
    return;
  }
  const bool has_bytes =
      std::all_of(character.begin(), character.end(), [&](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; });
  if (!options_.byte_fallback || !has_bytes) {
    append_unknown(symbols, after_unknown);
    return;
  }
  for (const char c : character) {
    symbols.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  }
  after_unknown = false;
}

void bpe_model::append_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  bool after_unknown = false;
  if (options_.byte_level) {
    for (const char c : word) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
      if (id >= 0) {
        symbols.push_back(id);
        after_unknown = false;
      } else {
        append_unknown(symbols, after_unknown);
      }
    }
    return;
  }
  while (!word.empty()) {
    const size_t length = read_utf8(word).length;
    append_character(word.substr(0, length), symbols, after_unknown);
    word.remove_prefix(length);
  }
}

void bpe_model::merge_short(std::vector<int32_t>& symbols) const {
  constexpr int32_t none = INT32_MAX;
  std::array<int32_t, short_word_symbols> ranks{};
  std::array<int32_t, short_word_symbols> results{};
  size_t count = symbols.size();
  const auto look_up = [&](size_t i) {
    const merge_rule* rule = i + 1 < count ? find_merge(symbols[i], symbols[i + 1]) : nullptr;
    ranks[i] = rule == nullptr ? none : rule->rank;
    results[i] = rule == nullptr ? 0 : rule->result;
  };
  for (size_t i = 0; i < count; ++i) {
    look_up(i);
  }
  while (count > 1) {
    const auto at = static_cast<size_t>(std::min_element(ranks.begin(), ranks.begin() + static_cast<ptrdiff_t>(count)) -
                                        ranks.begin());
    if (ranks[at] == none) {
      break;
    }
    symbols[at] = results[at];
    --count;
    for (size_t i = at + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    look_up(at);
    if (at > 0) {
      look_up(at - 1);
    }
  }
  symbols.resize(count);
}

void bpe_model::merge_long(std::vector<int32_t>& symbols) const {
  struct candidate {
    int32_t rank = 0;
    size_t at = 0;
    uint64_t pair = 0;  // what stood there: if it changed, the candidate is stale
    bool operator>(const candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  constexpr int32_t gone = -1;
  const size_t count = symbols.size();
  std::vector<size_t> next(count);
  std::vector<size_t> previous(count);
  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  const auto consider = [&](size_t at) {
    if (next[at] < count) {
      if (const merge_rule* rule = find_merge(symbols[at], symbols[next[at]])) {
        queue.push({rule->rank, at, rule->pair});
      }
    }
  };
  for (size_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  for (size_t i = 0; i < count; ++i) {
    consider(i);
  }
  while (!queue.empty()) {
    const candidate best = queue.top();
    queue.pop();
    const size_t right = next[best.at];
    if (symbols[best.at] == gone || right >= count) {
      continue;
    }
    const merge_rule* rule = find_merge(symbols[best.at], symbols[right]);
    if (rule == nullptr || rule->pair != best.pair) {
      continue;
    }
    symbols[best.at] = rule->result;
    symbols[right] = gone;
    next[best.at] = next[right];
    if (next[right] < count) {
      previous[next[right]] = best.at;
    }
    consider(best.at);
    if (best.at > 0) {
      consider(previous[best.at]);
    }
  }
  std::erase(symbols, gone);
}

void bpe_model::merge(std::string_view word, std::vector<int32_t>& ids) const {
  if (options_.ignore_merges) {
    std::string spelling;
    for (const char c : options_.byte_level ? word : std::string_view()) {
      spelling += byte_alphabet()[static_cast<uint8_t>(c)];
    }
    if (const auto id = words_.find(options_.byte_level ? spelling : word)) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  append_symbols(word, symbols);
  if (symbols.size() <= short_word_symbols) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::unique_lock<std::mutex> bpe_model::lock_cache() const {
  return std::unique_lock<std::mutex>(cache_mutex_, std::try_to_lock);
}

void bpe_model::encode_word(std::string_view word, bool use_cache, std::vector<int32_t>& ids) const {
  if (!use_cache || !cache::holds(word)) {
    merge(word, ids);
    return;
  }
  cache::slot& slot = cache_->slot_of(word);
  if (cache::is_of(slot, word)) {
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.id_count);
    return;
  }
  const size_t before = ids.size();
  merge(word, ids);
  cache::store(slot, word, ids.data() + before, ids.size() - before);
}

}  // namespace troupe::io

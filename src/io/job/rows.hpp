/// How the table's rows are written: member pointers become type-erased fields. Internal to io.
#pragma once

#include "io/job/options.hpp"

#include <type_traits>
#include <utility>

namespace troupe::io {

template <class Enum> field field_of_choice(Enum& value) {
  return choice_field{&value, words_of<Enum>(),
                      [](const void* from) { return static_cast<size_t>(*static_cast<const Enum*>(from)); },
                      [](void* to, size_t index) { *static_cast<Enum*>(to) = static_cast<Enum>(index); }};
}

template <class Enum> field field_of_choices(std::vector<Enum>& value) {
  return choice_list_field{&value, words_of<Enum>(),
                           [](const void* from) {
                             std::vector<size_t> indices;
                             for (const Enum e : *static_cast<const std::vector<Enum>*>(from)) {
                               indices.push_back(static_cast<size_t>(e));
                             }
                             return indices;
                           },
                           [](void* to, const std::vector<size_t>& indices) {
                             auto& list = *static_cast<std::vector<Enum>*>(to);
                             list.clear();
                             for (const size_t i : indices) {
                               list.push_back(static_cast<Enum>(i));
                             }
                           }};
}

template <class T> field field_of(T& value) {
  if constexpr (std::is_enum_v<T>) {
    return field_of_choice(value);
  } else if constexpr (std::is_same_v<T, std::vector<phase>> || std::is_same_v<T, std::vector<replay_leniency>>) {
    return field_of_choices(value);
  } else {
    return &value;
  }
}

/// Appends the rows of one struct.
template <class Section> class rows {
public:
  using finder = std::function<Section&(job&, const std::string& name)>;

  rows(std::vector<option>& table, std::string section, finder find, std::string prefix = "")
      : table_(table), section_(std::move(section)), find_(std::move(find)), prefix_(std::move(prefix)) {}

  /// Everything about one option; `numbers`, `text` may be changed in the row returned.
  template <class T> option& add(const char* key, T Section::*member, const char* help, limits range = {}) {
    option row;
    row.section = section_;
    row.key = prefix_ + key;
    row.help = help;
    row.range = range;
    row.find = [find = find_, member](job& j, const std::string& name) { return field_of(find(j, name).*member); };
    table_.push_back(std::move(row));
    return table_.back();
  }

  /// One that does not influence the numbers.
  template <class T> option& add_silent(const char* key, T Section::*member, const char* help, limits range = {}) {
    option& row = add(key, member, help, range);
    row.numbers = false;
    return row;
  }

  template <class T> option& add_path(const char* key, T Section::*member, const char* help) {
    option& row = add(key, member, help);
    row.text = text_kind::path;
    return row;
  }

  /// A text that may stand in a script. It does not influence the numbers.
  template <class T> option& add_line(const char* key, T Section::*member, const char* help) {
    option& row = add_silent(key, member, help);
    row.text = text_kind::line;
    return row;
  }

private:
  std::vector<option>& table_;
  std::string section_;
  finder find_;
  std::string prefix_;
};

void add_run_rows(std::vector<option>& table);
void add_data_rows(std::vector<option>& table);
void add_supervised_rows(std::vector<option>& table);
void add_ppo_rows(std::vector<option>& table);
void add_reward_source_rows(std::vector<option>& table);
void add_replay_rows(std::vector<option>& table);
void add_other_rows(std::vector<option>& table);
void add_optimizer_rows(std::vector<option>& table, const std::string& section,
                        const rows<optimizer_options>::finder& find, const std::string& prefix);

}  // namespace troupe::io

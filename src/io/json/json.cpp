#include "io/json/json.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"

#include <set>
#include <vector>

namespace troupe::io {
namespace {

/// What nlohmann's parser does not check by itself: nesting and repeated keys.
class json_checks {
public:
  explicit json_checks(const std::string& where) : where_(where) {}

  template <class Json> bool operator()(int depth, typename Json::parse_event_t event, const Json& parsed) {
    using event_t = typename Json::parse_event_t;
    if ((event == event_t::object_start || event == event_t::array_start) && depth >= json_depth_limit) {
      throw error(errc::bad_file, "{}: JSON is nested deeper than {}", where_, json_depth_limit);
    }
    if (event == event_t::object_start) {
      keys_.resize(static_cast<size_t>(depth) + 1);
      keys_.back().clear();
    } else if (event == event_t::key) {
      // A key is reported at the depth of the object's inside, one more than its object_start.
      const auto& name = parsed.template get_ref<const std::string&>();
      if (!keys_[static_cast<size_t>(depth) - 1].insert(name).second) {
        throw error(errc::bad_file, "{}: JSON key \"{}\" occurs twice in one object", where_, name);
      }
    }
    return true;
  }

private:
  const std::string& where_;
  std::vector<std::set<std::string>> keys_;
};

/// "invalid literal; last read: 'no'": without the library's own number and place before it.
std::string reason_of(std::string_view what) {
  for (const std::string_view mark : {"while parsing", "] "}) {
    if (const size_t at = what.find(mark); at != std::string_view::npos) {
      what.remove_prefix(at + (mark == "] " ? mark.size() : 0));
      return std::string(what);
    }
  }
  return std::string(what);
}

template <class Json> Json parse(std::string_view text, const std::string& where) {
  json_checks checks(where);
  try {
    return Json::parse(text.begin(), text.end(),
                       [&checks](int depth, typename Json::parse_event_t event, Json& parsed) {
                         return checks.operator()<Json>(depth, event, parsed);
                       });
  } catch (const typename Json::parse_error& failure) {
    throw error(errc::bad_file, "{}: malformed JSON at byte {}: {}", where, failure.byte, reason_of(failure.what()));
  } catch (const typename Json::exception& failure) {
    throw error(errc::bad_file, "{}: malformed JSON: {}", where, failure.what());
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  return parse<nlohmann::json>(text, where);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where) {
  return parse<nlohmann::ordered_json>(text, where);
}

std::string json_quoted(std::string_view text, const std::string& where) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw error(errc::bad_file, "{}: \"{}\" is not UTF-8 and cannot be written as JSON", where, excerpt(text));
  }
}

}  // namespace troupe::io

#include "io/rewards/reward_protocol.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"

#include <cmath>
#include <limits>

namespace troupe::io {

using json = nlohmann::json;

std::string reward_request(uint64_t id, std::span<const answer_item> items) {
  nlohmann::ordered_json request;
  request["version"] = 1;
  request["id"] = id;
  request["items"] = nlohmann::ordered_json::array();
  for (const answer_item& item : items) {
    nlohmann::ordered_json one;
    one["prompt"] = item.prompt;
    one["answer"] = item.answer;
    one["label"] = item.label;
    one["finish"] = item.finished ? "stop" : "length";
    one["source"] = item.source;
    request["items"].push_back(std::move(one));
  }
  return request.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

namespace {

/// The text with null for each NaN outside of strings, which Python writes though JSON has no such word.
std::string without_nan(std::string_view text) {
  std::string out;
  bool within_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (within_text && text[i] == '\\') {
      out += text.substr(i, 2);
      ++i;
      continue;
    }
    within_text = within_text != (text[i] == '"');
    if (!within_text && text.substr(i).starts_with("NaN")) {
      out += "null";
      i += 2;
      continue;
    }
    out += text[i];
  }
  return out;
}

[[noreturn]] void refuse(std::string_view reply, const std::string& why) {
  constexpr size_t most = 200;
  throw error(errc::bad_file, "its reply {}: {}{}", why, reply.substr(0, most), reply.size() > most ? " ..." : "");
}

json parsed(std::string_view reply) {
  try {
    return parse_json(without_nan(reply), "the reply");
  } catch (const error&) {
    refuse(reply,
           "is no JSON (its standard output is for replies alone, one a line; all else belongs on standard error)");
  }
}

float reward_of(const json& item, std::string_view reply, size_t index) {
  const auto found = item.is_object() ? item.find("reward") : item.end();
  if (!item.is_object() || found == item.end()) {
    refuse(reply, fmt::format("has no \"reward\" in item {}", index));
  }
  if (found->is_null()) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  if (!found->is_number()) {
    refuse(reply, fmt::format("has a JSON {} for the reward of item {}, where a number or null belongs",
                              found->type_name(), index));
  }
  const auto reward = static_cast<float>(found->get<double>());
  if (!std::isfinite(reward)) {
    refuse(reply, fmt::format("has a reward in item {} that is too large for a number of 32 bits", index));
  }
  return reward;
}

}  // namespace

std::vector<float> read_rewards(std::string_view reply, uint64_t id, size_t items) {
  const json object = parsed(reply);
  if (!object.is_object() || !object.contains("id") || !object.contains("items") || !object["items"].is_array()) {
    refuse(reply, "is no object with \"id\" and a list \"items\"");
  }
  if (object["id"] != json(id)) {
    refuse(reply, fmt::format("is to request {}, but {} was asked", object["id"].dump(), id));
  }
  if (object["items"].size() != items) {
    refuse(reply, fmt::format("has {} items to a request with {}", object["items"].size(), items));
  }
  std::vector<float> rewards;
  for (const json& item : object["items"]) {
    rewards.push_back(reward_of(item, reply, rewards.size()));
  }
  return rewards;
}

}  // namespace troupe::io

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/json/json_values.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

constexpr int64_t manifest_format = 1;
constexpr int64_t most_ranks = 100000;  // five digits in rank-NNNNN.h5

/// Indented text whose last member is the digest of the text without it.
std::string sealed(json body) {
  body["digest"] = digest_text(digest(dump(body, true)));
  return dump(body, true) + "\n";
}

/// The text is taken apart, put together again and compared, so not even a changed space passes.
json unsealed(std::string_view bytes, const std::string& where) {
  json body = parse_ordered_json(bytes, where);
  if (!body.is_object()) {
    throw error(errc::bad_file, "{}: not a JSON object", where);
  }
  const std::string stated = json_text(body, "digest", where);
  json rest = body;
  rest.erase("digest");
  if (sealed(rest) != bytes) {
    throw error(errc::bad_file, "{}: its contents do not agree with its digest {}: the file is damaged", where, stated);
  }
  return rest;
}

bool is_digest(const std::string& text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

checkpoint_file parse_file(const json& entry, const std::string& expected_name, const std::string& where) {
  if (!entry.is_object()) {
    throw error(errc::bad_file, "{}: an entry of \"files\" is not an object", where);
  }
  checkpoint_file file{json_text(entry, "name", where), json_int(entry, "bytes", where),
                       json_text(entry, "digest", where)};
  if (file.name != expected_name || file.bytes < 0 || !is_digest(file.digest)) {
    throw error(errc::bad_file, "{}: the entry of {} is malformed (name {}, {} bytes, digest {})", where, expected_name,
                file.name, file.bytes, file.digest);
  }
  return file;
}

const json& container(const json& body, const char* name, bool object, const std::string& where) {
  const auto found = body.find(name);
  if (found == body.end() || (object ? !found->is_object() : !found->is_array())) {
    throw error(errc::bad_file, "{}: \"{}\" is missing or of the wrong type", where, name);
  }
  return *found;
}

void check_head(const checkpoint_manifest& manifest, const std::string& where) {
  if (manifest.unit != "update" && manifest.unit != "iteration") {
    throw error(errc::bad_file, "{}: unit is \"{}\", not \"update\" or \"iteration\"", where, manifest.unit);
  }
  if (manifest.counter < 0 || manifest.attempt < 0) {
    throw error(errc::bad_file, "{}: counter {} or attempt {} is negative", where, manifest.counter, manifest.attempt);
  }
}

}  // namespace

std::string manifest_text(const checkpoint_manifest& manifest) {
  json body;
  body["format"] = manifest_format;
  body["attempt"] = manifest.attempt;
  body["phase"] = manifest.phase;
  body["unit"] = manifest.unit;
  body["counter"] = manifest.counter;
  body["ranks"] = manifest.ranks;
  body["counters"] = json::object();
  for (const auto& [name, value] : manifest.counters) {
    body["counters"][name] = to_json(value);
  }
  body["digests"] = json::object();
  for (const auto& [name, value] : manifest.digests) {
    body["digests"][name] = value;
  }
  body["files"] = json::array();
  for (const checkpoint_file& file : manifest.files) {
    body["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  return sealed(std::move(body));
}

checkpoint_manifest parse_manifest(std::string_view bytes, const std::string& where) {
  const json body = unsealed(bytes, where);
  const int64_t format = json_int(body, "format", where);
  if (format != manifest_format) {
    throw error(errc::unsupported, "{}: format {}, this Troupe reads format {}", where, format, manifest_format);
  }
  checkpoint_manifest manifest;
  manifest.attempt = json_int(body, "attempt", where);
  manifest.phase = json_text(body, "phase", where);
  manifest.unit = json_text(body, "unit", where);
  manifest.counter = json_int(body, "counter", where);
  const int64_t ranks = json_int(body, "ranks", where);
  const json& files = container(body, "files", false, where);
  if (ranks < 1 || ranks > most_ranks || files.size() != static_cast<size_t>(ranks) + 1) {
    throw error(errc::bad_file, "{}: {} ranks, but {} files", where, ranks, files.size());
  }
  manifest.ranks = static_cast<int>(ranks);
  check_head(manifest, where);
  for (const auto& [name, value] : container(body, "counters", true, where).items()) {
    manifest.counters[name] = from_json(value, where);
  }
  const json& digests = container(body, "digests", true, where);
  for (const auto& [name, value] : digests.items()) {
    manifest.digests[name] = json_text(digests, name.c_str(), where);
  }
  for (int64_t i = 0; i <= ranks; ++i) {
    manifest.files.push_back(
        parse_file(files[static_cast<size_t>(i)], i < ranks ? rank_file_name(i) : whole_file_name, where));
  }
  return manifest;
}

checkpoint_manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / manifest_name;
  return parse_manifest(read_text_file(path), path.string());
}

}  // namespace troupe::io

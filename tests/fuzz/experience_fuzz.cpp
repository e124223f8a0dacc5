/// Experience files of any structure: data sets that are missing, of other types, sizes or layouts, links instead of
/// them, and any values. HDF5 writes them, so what is tried is our reader, not HDF5's: read or refused.
#include "base/error.hpp"
#include "io/experience/capabilities.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/selection.hpp"
#include "io/experience/summary.hpp"

#include <fuzzer/FuzzedDataProvider.h>
#include <hdf5.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

using choices = FuzzedDataProvider;

/// A data set as the reader expects it, with two sequences of three tokens whose answers have two.
struct expected {
  const char* name;
  hid_t type;
  std::vector<hsize_t> shape;
  std::vector<uint8_t> bytes;
};

template <class T> std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  return {first, first + values.size() * sizeof(T)};
}

std::vector<expected> sound_data_sets() {
  const std::vector<float> answers = {-1, -2, -3, -4};
  return {{"sequence_id", H5T_NATIVE_UINT64, {2}, bytes_of<uint64_t>({1, 2})},
          {"prompt_id", H5T_NATIVE_UINT64, {2}, bytes_of<uint64_t>({7, 8})},
          {"group", H5T_NATIVE_UINT64, {2}, bytes_of<uint64_t>({5, 5})},
          {"source", H5T_NATIVE_UINT16, {2}, bytes_of<uint16_t>({0, 0})},
          {"token", H5T_NATIVE_INT32, {6}, bytes_of<int32_t>({1, 2, 3, 1, 2, 3})},
          {"sequence_offset", H5T_NATIVE_INT64, {3}, bytes_of<int64_t>({0, 3, 6})},
          {"answer_offset", H5T_NATIVE_INT64, {3}, bytes_of<int64_t>({0, 2, 4})},
          {"finished", H5T_NATIVE_UINT8, {2}, bytes_of<uint8_t>({1, 0})},
          {"logprob_old", H5T_NATIVE_FLOAT, {4}, bytes_of(answers)},
          {"logprob_ref", H5T_NATIVE_FLOAT, {4}, bytes_of(answers)},
          {"value", H5T_NATIVE_FLOAT, {4}, bytes_of(answers)},
          {"reward_raw", H5T_NATIVE_FLOAT, {2, 1}, bytes_of<float>({0.5F, 1})},
          {"reward_weight", H5T_NATIVE_DOUBLE, {1}, bytes_of<double>({0.5})},
          {"reward_shaped", H5T_NATIVE_FLOAT, {4}, bytes_of(answers)},
          {"advantage", H5T_NATIVE_FLOAT, {4}, bytes_of(answers)}};
}

hid_t any_type(choices& from) {
  const hid_t types[] = {H5T_NATIVE_FLOAT,  H5T_NATIVE_DOUBLE, H5T_NATIVE_INT64,  H5T_NATIVE_INT32, H5T_NATIVE_UINT64,
                         H5T_NATIVE_UINT16, H5T_NATIVE_UINT8,  H5T_STD_I64BE,     H5T_IEEE_F32BE,   H5T_C_S1,
                         H5T_NATIVE_INT8,   H5T_STD_REF_OBJ,   H5T_NATIVE_UINT32, H5T_NATIVE_INT16};
  return from.PickValueInArray(types);
}

std::vector<hsize_t> any_shape(choices& from) {
  std::vector<hsize_t> shape;
  for (int left = from.ConsumeIntegralInRange(0, 3); left > 0; --left) {
    shape.push_back(from.ConsumeBool() ? from.ConsumeIntegralInRange<hsize_t>(0, 8)
                                       : from.ConsumeIntegralInRange<hsize_t>(0, hsize_t{1} << 40));
  }
  return shape;
}

/// Where and how the values are stored.
void choose_layout(choices& from, hid_t properties, const std::vector<hsize_t>& shape) {
  switch (from.ConsumeIntegralInRange(0, 4)) {
  case 0:
    H5Pset_external(properties, "/etc/hostname", 0, H5F_UNLIMITED);
    break;
  case 1: {
    const std::vector<hsize_t> chunk(shape.size(), 2);
    if (!chunk.empty()) {
      H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
      H5Pset_deflate(properties, 1);
    }
    break;
  }
  case 2: {
    const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
    H5Pset_virtual(properties, space, from.ConsumeBool() ? "../other.h5" : "/tmp/other.h5", "/x", space);
    H5Sclose(space);
    break;
  }
  default:
    break;
  }
}

void add_data_set(choices& from, hid_t file, const expected& sound) {
  expected made = sound;
  const bool odd = from.ConsumeIntegralInRange(0, 7) == 0;
  if (odd && from.ConsumeBool()) {
    made.type = any_type(from);
  }
  if (odd && from.ConsumeBool()) {
    made.shape = any_shape(from);
  }
  if (from.ConsumeIntegralInRange(0, 7) == 0) {
    const std::vector<uint8_t> values = from.ConsumeBytes<uint8_t>(made.bytes.size());
    std::copy(values.begin(), values.end(), made.bytes.begin());
  }
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  if (odd) {
    choose_layout(from, properties, made.shape);
  }
  const hid_t space = made.shape.empty()
                          ? H5Screate(H5S_SCALAR)
                          : H5Screate_simple(static_cast<int>(made.shape.size()), made.shape.data(), nullptr);
  const hid_t set = H5Dcreate2(file, sound.name, made.type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  const hssize_t elements = H5Sget_simple_extent_npoints(space);
  if (set >= 0 && elements >= 0 && static_cast<uint64_t>(elements) * H5Tget_size(made.type) <= made.bytes.size()) {
    H5Dwrite(set, made.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, made.bytes.data());
  }
  H5Dclose(set);
  H5Sclose(space);
  H5Pclose(properties);
}

void add_object(choices& from, hid_t file, const expected& sound) {
  switch (from.ConsumeIntegralInRange(0, 40)) {
  case 0:
    return;  // it is missing
  case 1:
    H5Lcreate_external("/tmp/other.h5", "/x", file, sound.name, H5P_DEFAULT, H5P_DEFAULT);
    return;
  case 2:
    H5Lcreate_soft("/sequence_id", file, sound.name, H5P_DEFAULT, H5P_DEFAULT);
    return;
  case 3:
    H5Gclose(H5Gcreate2(file, sound.name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    return;
  default:
    add_data_set(from, file, sound);
  }
}

void add_attribute(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& shape, const void* values) {
  const hid_t space = shape.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, shape.data(), nullptr);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  if (values != nullptr) {
    H5Awrite(attribute, type, values);
  }
  H5Aclose(attribute);
  H5Sclose(space);
}

/// What format 2 says beyond format 1.
void add_later_attributes(choices& from, hid_t file, hid_t text) {
  for (const char* name : {"complete", "reward_scale_count"}) {
    const auto value = from.ConsumeIntegralInRange<int64_t>(-1, 2);
    add_attribute(file, name, H5T_NATIVE_INT64, {}, &value);
  }
  for (const char* name :
       {"min_p", "repetition_penalty", "kl_coefficient", "reward_scale_mean", "reward_scale_squares"}) {
    const double value = from.ConsumeBool() ? 1 : from.ConsumeFloatingPoint<double>();
    add_attribute(file, name, H5T_NATIVE_DOUBLE, {}, &value);
  }
  const std::string letters(160, 'a');
  for (const char* name : {"reference_digest", "critic_digest", "behaviour_digest"}) {
    add_attribute(file, name, text, {}, letters.data());
  }
  const char* words[] = {"sampled\0", "imported", "scored\0\0", "unknown\0", "whatever"};
  const hid_t word = H5Tcopy(H5T_C_S1);
  H5Tset_size(word, 8);
  add_attribute(file, "behaviour", word, {}, from.PickValueInArray(words));
  H5Tclose(word);
}

void add_attributes(choices& from, hid_t file) {
  const int64_t format = from.ConsumeIntegralInRange<int64_t>(1, 2);
  add_attribute(file, "format", H5T_NATIVE_INT64, {}, &format);
  for (const char* name : {"iteration", "policy_version", "seed", "temperature", "top_k", "top_p"}) {
    const bool odd = from.ConsumeIntegralInRange(0, 30) == 0;
    const int64_t value = odd ? from.ConsumeIntegral<int64_t>() : 1;
    const std::vector<hsize_t> shape = odd && from.ConsumeBool() ? std::vector<hsize_t>{3} : std::vector<hsize_t>{};
    const std::vector<int64_t> values(3, value);
    add_attribute(file, name, H5T_NATIVE_INT64, shape, values.data());
  }
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, from.ConsumeIntegralInRange<size_t>(1, 40));
  const std::string letters(160, 'a');
  for (const char* name : {"job_digest", "policy_digest", "tokenizer_digest"}) {
    add_attribute(file, name, text, {}, letters.data());
  }
  const hsize_t names = from.ConsumeIntegralInRange<hsize_t>(0, 3);
  add_attribute(file, "source_names", text, {names}, names > 0 ? letters.data() : nullptr);
  add_attribute(file, "reward_names", text, {1}, letters.data());
  if (format == 2) {
    add_later_attributes(from, file, text);
  }
  H5Tclose(text);
}

void write_file(const fs::path& path, choices& from) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  add_attributes(from, file);
  for (const expected& sound : sound_data_sets()) {
    add_object(from, file, sound);
  }
  H5Fclose(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fs::path path = fs::temp_directory_path() / ("experience-fuzz-" + std::to_string(::getpid()) + ".h5");
  choices from(data, size);
  write_file(path, from);
  try {
    troupe::io::read_summary(path);
    const troupe::io::experience read = troupe::io::read_experience(path);
    troupe::io::validate(read, "what was read");
    capabilities_of(read);
    take(read, passing(read, {.reward_min = 0.5}));
  } catch (const troupe::error&) {
    return 0;
  }
  return 0;
}

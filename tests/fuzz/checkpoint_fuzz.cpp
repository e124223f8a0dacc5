/// Checkpoints of any structure: ranks' files and checkpoint.h5 whose data sets and attributes are missing, of other
/// types, sizes or layouts, or links, beside a sound manifest. HDF5 writes them, so what is tried is our reader, not
/// HDF5's: read or refused.
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"

#include <fuzzer/FuzzedDataProvider.h>
#include <hdf5.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

using choices = FuzzedDataProvider;

/// Odd things come once in so many objects, so that most files get past the first checks.
bool odd(choices& from, int once_in = 12) { return from.ConsumeIntegralInRange(0, once_in - 1) == 2; }

hid_t any_type(choices& from) {
  const hid_t types[] = {H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT64, H5T_NATIVE_INT32, H5T_NATIVE_UINT64,
                         H5T_NATIVE_UINT8, H5T_STD_I64BE,     H5T_IEEE_F32BE,   H5T_C_S1,         H5T_STD_REF_OBJ};
  return from.PickValueInArray(types);
}

std::vector<hsize_t> any_shape(choices& from) {
  std::vector<hsize_t> shape;
  for (int left = from.ConsumeIntegralInRange(0, 3); left > 0; --left) {
    shape.push_back(from.ConsumeBool() ? from.ConsumeIntegralInRange<hsize_t>(0, 8)
                                       : from.ConsumeIntegralInRange<hsize_t>(0, hsize_t{1} << 62));
  }
  return shape;
}

hid_t space_of(const std::vector<hsize_t>& shape) {
  return shape.empty() ? H5Screate(H5S_SCALAR)
                       : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
}

/// An attribute of these numbers, or of others, in another type or shape.
void add_numbers(choices& from, hid_t owner, const char* name, std::vector<int64_t> numbers) {
  hid_t type = H5T_NATIVE_INT64;
  std::vector<hsize_t> shape = {numbers.size()};
  if (odd(from)) {
    return;  // it is missing
  }
  if (odd(from)) {
    type = any_type(from);
  }
  if (odd(from)) {
    shape = {from.ConsumeIntegralInRange<hsize_t>(0, 8)};
  }
  for (int64_t& number : numbers) {
    if (odd(from)) {
      number = from.ConsumeBool() ? from.ConsumeIntegral<int64_t>() : from.ConsumeIntegralInRange<int64_t>(-8, 8);
    }
  }
  numbers.resize(8);
  const hid_t space = space_of(shape);
  const hid_t attribute = H5Acreate2(owner, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, numbers.data());
  H5Aclose(attribute);
  H5Sclose(space);
}

/// Where and how the values are stored.
void choose_layout(choices& from, hid_t properties, const std::vector<hsize_t>& shape) {
  const hid_t space = space_of(shape);
  switch (from.ConsumeIntegralInRange(0, 3)) {
  case 0:
    H5Pset_external(properties, "/etc/hostname", 0, H5F_UNLIMITED);
    break;
  case 1:
    if (!shape.empty()) {
      H5Pset_chunk(properties, static_cast<int>(shape.size()), std::vector<hsize_t>(shape.size(), 2).data());
      H5Pset_deflate(properties, 1);
    }
    break;
  case 2:
    H5Pset_virtual(properties, space, from.ConsumeBool() ? "../other.h5" : "checkpoint.h5", "/policy/weights/a", space);
    break;
  default:
    break;
  }
  H5Sclose(space);
}

/// What a file of two ranks holds under a name.
struct expected {
  const char* name;
  hid_t type;
  std::vector<hsize_t> shape;  ///< of what is stored
  std::vector<int64_t> whole;  ///< an array's shape over all ranks; empty: no array
};

hid_t create_parents() {
  const hid_t properties = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(properties, 1);
  return properties;
}

/// The data set, or a negative id where something else stands in its place, or nothing.
hid_t add_object(choices& from, hid_t file, const expected& sound) {
  const hid_t parents = create_parents();
  hid_t made = -1;
  switch (from.ConsumeIntegralInRange(0, 40)) {
  case 1:
    break;  // it is missing
  case 2:
    H5Lcreate_external("/tmp/other.h5", "/x", file, sound.name, parents, H5P_DEFAULT);
    break;
  case 3:
    H5Lcreate_soft("/policy", file, sound.name, parents, H5P_DEFAULT);
    break;
  case 4:
    H5Gclose(H5Gcreate2(file, sound.name, parents, H5P_DEFAULT, H5P_DEFAULT));
    break;
  default: {
    const std::vector<hsize_t> shape = odd(from) ? any_shape(from) : sound.shape;
    const hid_t type = odd(from) ? any_type(from) : sound.type;
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (odd(from)) {
      choose_layout(from, properties, shape);
    }
    const hid_t space = space_of(shape);
    made = H5Dcreate2(file, sound.name, type, space, parents, properties, H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(properties);
  }
  }
  H5Pclose(parents);
  return made;
}

bool is_virtual(hid_t set) {
  const hid_t properties = H5Dget_create_plist(set);
  const bool found = H5Pget_layout(properties) == H5D_VIRTUAL;
  H5Pclose(properties);
  return found;
}

void write_values(choices& from, hid_t set, const expected& sound) {
  const hid_t space = H5Dget_space(set);
  const hid_t type = H5Dget_type(set);
  std::vector<uint8_t> values = from.ConsumeBytes<uint8_t>(from.ConsumeIntegralInRange<size_t>(0, 16));
  values.resize(64);
  const hssize_t elements = H5Sget_simple_extent_npoints(space);
  if (H5Tis_variable_str(type) > 0) {
    const std::string text(from.ConsumeIntegralInRange<size_t>(0, 20), 'a');
    const std::vector<const char*> pointers(8, text.c_str());
    if (elements >= 0 && elements <= 8 && sound.shape.empty()) {
      H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data());
    }
  } else if (elements >= 0 && static_cast<uint64_t>(elements) <= values.size() / H5Tget_size(type)) {
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  }
  H5Tclose(type);
  H5Sclose(space);
}

/// Array "a" of [2, 3] lies in both ranks' files, "b" of [4] in that of rank 1 alone.
void write_rank(const fs::path& path, choices& from, int rank) {
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, odd(from) ? 5 : H5T_VARIABLE);
  std::vector<expected> objects = {{"policy/weights/a", H5T_NATIVE_FLOAT, {3}, {2, 3}},
                                   {"state/counter", H5T_NATIVE_INT64, {}, {}},
                                   {"state/coefficient", H5T_NATIVE_DOUBLE, {}, {}},
                                   {"state/text", text, {}, {}}};
  if (rank == 1) {
    objects.push_back({"policy/weights/b", H5T_NATIVE_FLOAT, {4}, {4}});
  }
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  for (const expected& sound : objects) {
    const hid_t set = add_object(from, file, sound);
    if (set < 0) {
      continue;
    }
    if (!is_virtual(set)) {  // HDF5 itself does not survive writing into a circle
      write_values(from, set, sound);
    }
    if (!sound.whole.empty()) {
      const bool half = sound.whole.size() == 2;
      add_numbers(from, set, "global_shape", sound.whole);
      add_numbers(from, set, "begin", {half && rank == 1 ? 3 : 0});
      add_numbers(from, set, "end", {half && rank == 0 ? 3 : (half ? 6 : 4)});
    }
    H5Dclose(set);
  }
  H5Fclose(file);
  H5Tclose(text);
}

void write_whole(const fs::path& path, choices& from) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  for (const expected& sound : {expected{"policy/weights/a", H5T_NATIVE_FLOAT, {2, 3}, {2, 3}},
                                expected{"policy/weights/b", H5T_NATIVE_FLOAT, {4}, {4}}}) {
    const hid_t set = add_object(from, file, sound);
    if (set < 0) {
      continue;
    }
    const bool both = sound.whole.size() == 2;
    add_numbers(from, set, "piece_rank", both ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{1});
    add_numbers(from, set, "piece_begin", both ? std::vector<int64_t>{0, 3} : std::vector<int64_t>{0});
    H5Dclose(set);
  }
  H5Fclose(file);
}

/// Says the files' true sizes: whoever reads a checkpoint as verified has held them against it.
void write_manifest(const fs::path& folder) {
  troupe::io::checkpoint_manifest manifest;
  manifest.phase = "ppo";
  manifest.unit = "iteration";
  manifest.counter = 1;
  manifest.ranks = 2;
  for (const char* name : {"rank-00000.h5", "rank-00001.h5", "checkpoint.h5"}) {
    manifest.files.push_back({name, static_cast<int64_t>(fs::file_size(folder / name)), std::string(16, '0')});
  }
  std::ofstream(folder / "manifest.json", std::ios::binary) << troupe::io::manifest_text(manifest);
}

/// What is refused must not keep the rest from being tried.
template <class Read> void try_to(const Read& read) {
  try {
    read();
  } catch (const troupe::error&) {
    return;
  }
}

void read_all(const fs::path& folder) {
  const troupe::io::checkpoint_reader reader(folder, true);
  for (const std::string& name : reader.array_names()) {
    try_to([&] { reader.read(name); });
    try_to([&] {
      std::vector<float> some(2);
      reader.read(name, 2, some);
    });
    reader.shape(name);
    reader.writer(name);
  }
  for (int rank = 0; rank < 3; ++rank) {
    try_to([&] { reader.scalar_names(rank); });
    for (const char* name : {"state/counter", "state/coefficient", "state/text", "policy/weights/a"}) {
      try_to([&] { reader.has(name, rank); });
      try_to([&] { reader.integer(name, rank); });
      try_to([&] { reader.real(name, rank); });
      try_to([&] { reader.text(name, rank); });
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fs::path folder = fs::temp_directory_path() / ("checkpoint-fuzz-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  choices from(data, size);
  write_rank(folder / "rank-00000.h5", from, 0);
  write_rank(folder / "rank-00001.h5", from, 1);
  write_whole(folder / "checkpoint.h5", from);
  write_manifest(folder);
  try_to([] { read_all(folder); });
  return 0;
}

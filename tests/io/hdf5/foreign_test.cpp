// HDF5 files from others: whatever leads out of the file, or announces more than is there, is refused. The files are
// made with HDF5 itself, since our writer makes none of these.
#include "base/error.hpp"
#include "io/hdf5/hdf5.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

class ForeignFile : public testing::Test {
protected:
  /// A file that `fill` makes.
  fs::path make(const std::string& name, const std::function<void(hid_t)>& fill) {
    const fs::path path = folder_ / name;
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(file, 0);
    fill(file);
    EXPECT_GE(H5Fclose(file), 0);
    return path;
  }

  /// A data set "x" of `count` floats with these creation properties; `values` may be empty: none are written.
  static void add(hid_t file, hsize_t count, hid_t properties, const std::vector<float>& values = {}) {
    const hid_t space = H5Screate_simple(1, &count, nullptr);
    const hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    EXPECT_GE(set, 0);
    if (!values.empty()) {
      EXPECT_GE(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    }
    H5Dclose(set);
    H5Sclose(space);
  }

  static hid_t creation() { return H5Pcreate(H5P_DATASET_CREATE); }

  /// What reading "x" of it says; empty: it is read.
  static std::string refusal(const fs::path& path, errc code) {
    const auto failure = test::caught([&] { hdf5_file::open(path).read<float>("x"); });
    if (!failure) {
      return "";
    }
    EXPECT_EQ(failure->code(), code) << failure->what();
    return failure->what();
  }

  test::temporary_folder folder_;
};

TEST_F(ForeignFile, PlainChunkedAndCompressedValuesAreRead) {
  const std::vector<float> values(1000, 2.5F);
  const hsize_t chunk = 100;
  for (const bool compressed : {false, true}) {
    const fs::path path = make("chunked.h5", [&](hid_t file) {
      const hid_t properties = creation();
      H5Pset_chunk(properties, 1, &chunk);
      if (compressed) {
        H5Pset_shuffle(properties);
        H5Pset_deflate(properties, 9);
      }
      add(file, 1000, properties, values);
      H5Pclose(properties);
    });
    EXPECT_EQ(hdf5_file::open(path).read<float>("x"), values);
  }
}

TEST_F(ForeignFile, ValuesInAnotherFileAreRefused) {
  std::ofstream(folder_ / "secret") << std::string(64, 'x');
  const fs::path path = make("external.h5", [&](hid_t file) {
    const hid_t properties = creation();
    H5Pset_external(properties, (folder_ / "secret").c_str(), 0, 64);
    add(file, 16, properties);
    H5Pclose(properties);
  });
  EXPECT_NE(refusal(path, errc::unsupported).find("keeps its values in another file"), std::string::npos);
}

TEST_F(ForeignFile, LinksThatLeadElsewhereAreRefused) {
  const fs::path other = make("other.h5", [](hid_t file) { add(file, 2, H5P_DEFAULT, {1, 2}); });
  const fs::path external = make(
      "link.h5", [&](hid_t file) { H5Lcreate_external(other.c_str(), "/x", file, "x", H5P_DEFAULT, H5P_DEFAULT); });
  EXPECT_NE(refusal(external, errc::unsupported).find("is a link to something else"), std::string::npos);
  const fs::path in_a_group = make(
      "group.h5", [&](hid_t file) { H5Lcreate_external(other.c_str(), "/", file, "g", H5P_DEFAULT, H5P_DEFAULT); });
  EXPECT_THROW(hdf5_file::open(in_a_group).read<float>("g/x"), error);
  EXPECT_THROW(hdf5_file::open(in_a_group).read_text_attribute("g", "a"), error);
  const fs::path soft = make("soft.h5", [&](hid_t file) {
    H5Lcreate_external(other.c_str(), "/", file, "g", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/g/x", file, "x", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_NE(refusal(soft, errc::unsupported).find("is a link to something else"), std::string::npos);
}

/// "x" of 2 floats takes its values from a data set of `source`.
void add_virtual(hid_t file, const std::string& source) {
  const hsize_t two = 2;
  const hid_t space = H5Screate_simple(1, &two, nullptr);
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_virtual(properties, space, source.c_str(), "/x", space);
  const hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  EXPECT_GE(set, 0);
  H5Dclose(set);
  H5Pclose(properties);
  H5Sclose(space);
}

TEST_F(ForeignFile, VirtualValuesMustLieBesideTheFile) {
  fs::create_directory(folder_ / "run");
  make("run/rank.h5", [](hid_t file) { add(file, 2, H5P_DEFAULT, {1, 2}); });
  const fs::path secret = make("secret.h5", [](hid_t file) { add(file, 2, H5P_DEFAULT, {3, 4}); });
  fs::create_symlink(secret, folder_ / "run/linked.h5");
  const auto whole = [&](const std::string& source) {
    return make("run/whole.h5", [&](hid_t file) { add_virtual(file, source); });
  };
  EXPECT_EQ(hdf5_file::open(whole("rank.h5")).read<float>("x"), (std::vector<float>{1, 2}));
  for (const std::string& source : {secret.string(), std::string("../secret.h5"), std::string("linked.h5")}) {
    EXPECT_NE(refusal(whole(source), errc::unsupported).find("does not lie beside it"), std::string::npos) << source;
  }
}

/// HDF5 would follow such a circle until the stack is full.
TEST_F(ForeignFile, VirtualValuesOfVirtualValuesAreRefused) {
  for (const char* source : {".", "circle.h5"}) {
    const fs::path circle = make("circle.h5", [&](hid_t file) { add_virtual(file, source); });
    EXPECT_NE(refusal(circle, errc::unsupported).find("is virtual, and another"), std::string::npos) << source;
  }
  const fs::path there = make("there.h5", [](hid_t file) { add_virtual(file, "back.h5"); });
  make("back.h5", [](hid_t file) { add_virtual(file, "there.h5"); });
  EXPECT_NE(refusal(there, errc::unsupported).find("is virtual, and another"), std::string::npos);
  const fs::path series = make("series.h5", [](hid_t file) { add_virtual(file, "series-%b.h5"); });
  EXPECT_NE(refusal(series, errc::unsupported).find("from a series"), std::string::npos);
}

TEST_F(ForeignFile, MoreValuesThanTheFileHasRoomForAreRefused) {
  const hsize_t chunk = 1024;
  const hsize_t announced = hsize_t{1} << 40;
  const fs::path sparse = make("sparse.h5", [&](hid_t file) {
    const hid_t properties = creation();
    H5Pset_chunk(properties, 1, &chunk);
    add(file, announced, properties);
    H5Pclose(properties);
  });
  EXPECT_NE(refusal(sparse, errc::bad_file).find("announces 4398046511104 bytes"), std::string::npos);
  const fs::path never_written = make("contiguous.h5", [](hid_t file) { add(file, 1000, H5P_DEFAULT); });
  EXPECT_NE(refusal(never_written, errc::bad_file).find("announces 4000 bytes"), std::string::npos);
}

/// HDF5 stores a reference for each text: all of "x" become that of the first.
void repeat_first_reference(const fs::path& path, size_t texts) {
  test::byte_vector bytes = test::read_bytes(path);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t set = H5Dopen2(file, "x", H5P_DEFAULT);
  const auto first = bytes.begin() + static_cast<ptrdiff_t>(H5Dget_offset(set));
  H5Dclose(set);
  H5Fclose(file);
  constexpr ptrdiff_t reference_bytes = 16;
  for (size_t i = 1; i < texts; ++i) {
    std::copy_n(first, reference_bytes, first + static_cast<ptrdiff_t>(i) * reference_bytes);
  }
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST_F(ForeignFile, TextsThatAllPointToOneLongTextAreRefused) {
  const fs::path path = folder_ / "texts.h5";
  const std::vector<std::string> texts = {std::string(100'000, 'x'), "y", "z"};
  {
    hdf5_file file = hdf5_file::create(path);
    file.write_texts("x", texts);
    file.close();
  }
  EXPECT_EQ(hdf5_file::open(path).read_texts("x"), texts);
  repeat_first_reference(path, texts.size());
  const auto failure = test::caught([&] { hdf5_file::open(path).read_texts("x"); });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), errc::bad_file);
  EXPECT_NE(std::string(failure->what()).find("announces 3000"), std::string::npos) << failure->what();
}

}  // namespace
}  // namespace troupe::io

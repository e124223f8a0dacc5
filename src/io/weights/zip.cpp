#include "io/weights/zip.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace troupe::io {
namespace {

constexpr uint32_t local_signature = 0x04034B50;
constexpr uint32_t central_signature = 0x02014B50;
constexpr uint32_t end_signature = 0x06054B50;
constexpr uint32_t end64_signature = 0x06064B50;
constexpr uint32_t locator64_signature = 0x07064B50;
constexpr uint64_t end_bytes = 22, locator64_bytes = 20, longest_comment = 0xFFFF;
constexpr uint32_t in_zip64_32 = 0xFFFFFFFF;
constexpr uint16_t in_zip64_16 = 0xFFFF;

struct directory_place {
  uint64_t entries = 0, offset = 0;
};

/// One record of the central directory.
struct central_record {
  uint16_t flags = 0, method = 0;
  uint32_t crc32 = 0;
  uint64_t stored_bytes = 0, bytes = 0, local_offset = 0;
  std::string name;
};

uint64_t find_end(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() >= end_bytes) {
    const uint64_t last = bytes.size() - end_bytes;
    const uint64_t first = last - std::min(last, longest_comment);
    for (uint64_t at = last + 1; at-- > first;) {
      uint32_t signature = 0;
      std::memcpy(&signature, bytes.data() + at, sizeof(signature));
      if (signature == end_signature) {
        return at;
      }
    }
  }
  throw error(errc::bad_file, "{}: no end of a zip directory in {} bytes: truncated, or not a zip archive", where,
              bytes.size());
}

directory_place find_directory(byte_reader& in) {
  const uint64_t end = find_end(in.all(), in.where());
  in.seek(end + 4);
  const auto disk = in.read<uint16_t>();
  in.take(4);
  const auto entries = in.read<uint16_t>();
  in.take(4);
  const auto offset = in.read<uint32_t>();
  if (entries != in_zip64_16 && offset != in_zip64_32) {
    if (disk != 0) {
      throw error(errc::unsupported, "{}: a zip archive in several parts is not read", in.where());
    }
    return {.entries = entries, .offset = offset};
  }
  if (end < locator64_bytes) {
    throw error(errc::bad_file, "{}: the zip64 locator before byte {} is missing", in.where(), end);
  }
  in.seek(end - locator64_bytes);
  if (in.read<uint32_t>() != locator64_signature) {
    return {.entries = entries, .offset = offset};  // exactly 65535 entries, no zip64
  }
  in.take(4);
  in.seek(in.read<uint64_t>());
  if (in.read<uint32_t>() != end64_signature) {
    throw error(errc::bad_file, "{}: no zip64 end of directory at byte {}", in.where(), in.position() - 4);
  }
  in.take(8 + 2 + 2 + 4 + 4 + 8);
  directory_place place;
  place.entries = in.read<uint64_t>();
  in.take(8);
  place.offset = in.read<uint64_t>();
  return place;
}

/// Takes the fields that did not fit 32 bits from the zip64 extra field, in the order the format
/// gives them.
void widen(central_record& record, byte_reader extra) {
  while (extra.left() >= 4) {
    const auto id = extra.read<uint16_t>();
    const auto length = extra.read<uint16_t>();
    byte_reader field(extra.take(length), extra.where());
    if (id != 1) {
      continue;
    }
    for (uint64_t* wide : {&record.bytes, &record.stored_bytes, &record.local_offset}) {
      if (*wide == in_zip64_32) {
        *wide = field.read<uint64_t>();
      }
    }
    return;
  }
}

central_record read_central(byte_reader& in) {
  const uint64_t at = in.position();
  if (in.read<uint32_t>() != central_signature) {
    throw error(errc::bad_file, "{}: no zip directory record at byte {}", in.where(), at);
  }
  central_record record;
  in.take(4);
  record.flags = in.read<uint16_t>();
  record.method = in.read<uint16_t>();
  in.take(4);
  record.crc32 = in.read<uint32_t>();
  record.stored_bytes = in.read<uint32_t>();
  record.bytes = in.read<uint32_t>();
  const auto name_bytes = in.read<uint16_t>();
  const auto extra_bytes = in.read<uint16_t>();
  const auto comment_bytes = in.read<uint16_t>();
  in.take(8);
  record.local_offset = in.read<uint32_t>();
  record.name = in.take_text(name_bytes);
  widen(record, byte_reader(in.take(extra_bytes), in.where()));
  in.take(comment_bytes);
  return record;
}

zip_entry locate(const central_record& record, byte_reader& in) {
  const std::string name = excerpt(record.name);
  if (record.method != 0 || record.stored_bytes != record.bytes) {
    throw error(errc::unsupported, "{}: zip entry {} is compressed, torch.save never does that: refused", in.where(),
                name);
  }
  if ((record.flags & 1U) != 0) {
    throw error(errc::unsupported, "{}: zip entry {} is encrypted: refused", in.where(), name);
  }
  in.seek(record.local_offset);
  if (in.read<uint32_t>() != local_signature) {
    throw error(errc::bad_file, "{}: no zip entry {} at byte {}", in.where(), name, record.local_offset);
  }
  in.take(22);
  const auto name_bytes = in.read<uint16_t>();
  const auto extra_bytes = in.read<uint16_t>();
  if (in.take_text(name_bytes) != record.name) {
    throw error(errc::bad_file, "{}: the zip entry at byte {} is not the {} that the directory promises", in.where(),
                record.local_offset, name);
  }
  in.take(extra_bytes);
  return {.bytes = in.take(record.bytes), .crc32 = record.crc32};
}

}  // namespace

std::map<std::string, zip_entry, std::less<>> read_zip_directory(std::span<const std::byte> bytes,
                                                                 const std::string& where) {
  byte_reader in(bytes, where);
  const directory_place place = find_directory(in);
  std::map<std::string, zip_entry, std::less<>> entries;
  uint64_t next = place.offset;
  for (uint64_t i = 0; i < place.entries; ++i) {
    in.seek(next);
    const central_record record = read_central(in);
    next = in.position();
    if (!entries.emplace(record.name, locate(record, in)).second) {
      throw error(errc::bad_file, "{}: zip entry {} occurs twice", where, excerpt(record.name));
    }
  }
  return entries;
}

void verify_crc32(const zip_entry& entry, const std::string& entry_name, const std::string& where) {
  const uLong sum = ::crc32_z(0, reinterpret_cast<const Bytef*>(entry.bytes.data()), entry.bytes.size());
  if (sum != entry.crc32) {
    throw error(errc::bad_file, "{}: checksum of {} is {:08x}, it was written as {:08x}: the file is damaged", where,
                excerpt(entry_name), sum, entry.crc32);
  }
}

}  // namespace troupe::io

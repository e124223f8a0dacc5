/// The framing and the messages of TensorBoard's event files, encoded by hand.
/// Source  tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
/// tensorflow/core/framework/{summary,tensor,tensor_shape}.proto.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::io {

/// CRC-32C (Castagnoli), and masked as TFRecord has it: rotated right by 15 bits, plus 0xa282ead8.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

/// Length (u64), masked CRC of it, data, masked CRC of it.
std::string tfrecord(std::string_view data);

/// The data of the record at the start of `bytes`; none where it is partial or damaged.
std::optional<std::string_view> first_tfrecord(std::string_view bytes);

/// Bytes that a record takes beyond its data.
inline constexpr size_t tfrecord_overhead = 16;

/// Protocol Buffers fields, appended to `out`.
void put_varint(std::string& out, int field, uint64_t value);
void put_double(std::string& out, int field, double value);
void put_float(std::string& out, int field, float value);
void put_bytes(std::string& out, int field, std::string_view value);

/// Event.step of an encoded event; 0 where it has none, empty where the bytes are no message.
std::optional<int64_t> event_step(std::string_view event);

}  // namespace troupe::io

#include "io/pickle.hpp"

#include "io/byte_reader.hpp"
#include "kernels/base/error.hpp"

#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace troupe::io {
namespace {

// Real ones are far below: these bound what a hostile pickle can cost (some 100 bytes of memory for
// each of its own).
constexpr size_t longest_pickle_bytes = size_t{32} << 20;
constexpr size_t longest_storage_key = 255;
constexpr size_t most_dimensions = 64;

/// Values live in one vector and refer to each other by index: a pickle may build cycles, which
/// then cost nothing.
using reference = uint32_t;

enum class kind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dictionary,
  rebuild_tensor,
  rebuild_parameter,
  ordered_dictionary_class,
  storage_class,
  storage,
  tensor
};

const char* to_string(kind k) {
  constexpr const char* names[] = {"None",
                                   "a boolean",
                                   "an integer",
                                   "a real number",
                                   "text",
                                   "a tuple",
                                   "a list",
                                   "a dictionary",
                                   "the function _rebuild_tensor_v2",
                                   "the function _rebuild_parameter",
                                   "the class OrderedDict",
                                   "a storage class",
                                   "a storage",
                                   "a tensor"};
  return names[static_cast<size_t>(k)];
}

struct value {
  kind what = kind::none;
  dtype type = dtype::f32;     ///< of a storage class or storage
  int64_t integer = 0;         ///< also a storage's elements, a tensor's offset
  std::string_view text = {};  ///< also a storage's key; points into the pickle
  std::vector<reference> items =
      {};  ///< tuple, list; dictionary: key, value, key, value; tensor: storage, shape, stride
};

struct known_global {
  std::string_view module, name;
  kind what;
  dtype type = dtype::f32;
};

constexpr known_global known_globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", kind::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", kind::rebuild_parameter},
    {"collections", "OrderedDict", kind::ordered_dictionary_class},
    {"torch", "FloatStorage", kind::storage_class, dtype::f32},
    {"torch", "HalfStorage", kind::storage_class, dtype::f16},
    {"torch", "BFloat16Storage", kind::storage_class, dtype::bf16},
    {"torch", "DoubleStorage", kind::storage_class, dtype::f64},
    {"torch", "LongStorage", kind::storage_class, dtype::i64},
    {"torch", "IntStorage", kind::storage_class, dtype::i32},
    {"torch", "ShortStorage", kind::storage_class, dtype::i16},
    {"torch", "CharStorage", kind::storage_class, dtype::i8},
    {"torch", "ByteStorage", kind::storage_class, dtype::u8},
    {"torch", "BoolStorage", kind::storage_class, dtype::boolean},
};

class pickle_machine {
public:
  pickle_machine(std::span<const std::byte> bytes, const std::string& where) : in_(bytes, where) {}

  /// Runs to STOP and leaves the result.
  std::vector<pickled_tensor> run() {
    require(in_.left() > 0 && in_.read<uint8_t>() == 0x80, "does not start with a protocol 2 to 5 marker");
    const auto protocol = in_.read<uint8_t>();
    if (protocol < 2 || protocol > 5) {
      throw error(errc::unsupported, "{}: pickle protocol {} at byte 1: 2 to 5 are read", in_.where(), protocol);
    }
    while (step()) {
    }
    return collect(pop());
  }

private:
  bool step() {
    opcode_at_ = in_.position();
    const auto opcode = in_.read<uint8_t>();
    if (opcode == '.') {
      return false;
    }
    if (!push_scalar(opcode) && !build_container(opcode) && !use_memo(opcode) && !call(opcode)) {
      throw error(errc::unsupported, "{}: pickle opcode 0x{:02x} at byte {} is not one that tensors need: refused",
                  in_.where(), opcode, opcode_at_);
    }
    return true;
  }

  bool push_scalar(uint8_t opcode) {
    switch (opcode) {
    case 'N':
      push({.what = kind::none});
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push({.what = kind::boolean, .integer = opcode == 0x88});
      return true;
    case 'J':  // BININT
      push_integer(in_.read<int32_t>());
      return true;
    case 'K':  // BININT1
      push_integer(in_.read<uint8_t>());
      return true;
    case 'M':  // BININT2
      push_integer(in_.read<uint16_t>());
      return true;
    case 0x8A:  // LONG1
      push_integer(read_long());
      return true;
    case 'G':  // BINFLOAT: occurs in metadata only, its value is of no use here
      in_.take(8);
      push({.what = kind::real});
      return true;
    case 'X':  // BINUNICODE
      push({.what = kind::text, .text = in_.take_text(in_.read<uint32_t>())});
      return true;
    case 0x8C:  // SHORT_BINUNICODE
      push({.what = kind::text, .text = in_.take_text(in_.read<uint8_t>())});
      return true;
    case 0x8D:  // BINUNICODE8
      push({.what = kind::text, .text = in_.take_text(in_.read<uint64_t>())});
      return true;
    default:
      return false;
    }
  }

  bool build_container(uint8_t opcode) {
    switch (opcode) {
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return true;
    case '}':
      push({.what = kind::dictionary});
      return true;
    case ']':
      push({.what = kind::list});
      return true;
    case ')':
      push({.what = kind::tuple});
      return true;
    case 't':  // TUPLE
      push({.what = kind::tuple, .items = pop_to_mark()});
      return true;
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      push({.what = kind::tuple, .items = pop_many(opcode - 0x84U)});
      return true;
    case 's':  // SETITEM
      append(kind::dictionary, pop_many(2));
      return true;
    case 'u':  // SETITEMS
      append(kind::dictionary, pop_to_mark());
      return true;
    case 'a':  // APPEND
      append(kind::list, pop_many(1));
      return true;
    case 'e':  // APPENDS
      append(kind::list, pop_to_mark());
      return true;
    default:
      return false;
    }
  }

  bool use_memo(uint8_t opcode) {
    switch (opcode) {
    case 'q':  // BINPUT
      memo_[in_.read<uint8_t>()] = top();
      return true;
    case 'r':  // LONG_BINPUT
      memo_[in_.read<uint32_t>()] = top();
      return true;
    case 0x94:  // MEMOIZE
      memo_[static_cast<uint32_t>(memo_.size())] = top();
      return true;
    case 'h':  // BINGET
      recall(in_.read<uint8_t>());
      return true;
    case 'j':  // LONG_BINGET
      recall(in_.read<uint32_t>());
      return true;
    default:
      return false;
    }
  }

  bool call(uint8_t opcode) {
    switch (opcode) {
    case 0x95: {  // FRAME: a hint for buffered readers
      const auto length = in_.read<uint64_t>();
      require(length <= in_.left(), "announces a frame beyond its end");
      return true;
    }
    case 'c': {  // GLOBAL
      const std::string_view module = read_line();
      push_global(module, read_line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const std::vector<reference> names = pop_many(2);
      push_global(text_of(names[0]), text_of(names[1]));
      return true;
    }
    case 'Q':  // BINPERSID
      push_storage();
      return true;
    case 'R': {  // REDUCE
      const std::vector<reference> operands = pop_many(2);
      reduce(operands[0], operands[1]);
      return true;
    }
    case 'b':  // BUILD
      build();
      return true;
    default:
      return false;
    }
  }

  // --- the stack ---

  void push(value v) {
    values_.push_back(std::move(v));
    stack_.push_back(static_cast<reference>(values_.size() - 1));
  }

  void push_integer(int64_t integer) { push({.what = kind::integer, .integer = integer}); }

  /// Values below the last mark are out of reach, as in Python.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  reference top() const {
    require(stack_.size() > floor(), "uses an empty stack");
    return stack_.back();
  }

  reference pop() {
    const reference r = top();
    stack_.pop_back();
    return r;
  }

  std::vector<reference> pop_many(size_t count) {
    require(stack_.size() - floor() >= count, "uses an empty stack");
    std::vector<reference> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  std::vector<reference> pop_to_mark() {
    require(!marks_.empty(), "uses a mark that was not set");
    std::vector<reference> items = pop_many(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  void append(kind container, const std::vector<reference>& items) {
    value& target = values_[top()];
    require(target.what == container, "adds items to something else than a container of their kind");
    require(container != kind::dictionary || items.size() % 2 == 0, "has a key without a value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void recall(uint32_t slot) {
    const auto found = memo_.find(slot);
    require(found != memo_.end(), "recalls a memo that was not stored");
    stack_.push_back(found->second);
  }

  // --- reading operands ---

  std::string_view read_line() {
    const uint64_t begin = in_.position();
    while (in_.read<char>() != '\n') {
    }
    const uint64_t end = in_.position();
    in_.seek(begin);
    const std::string_view line = in_.take_text(end - begin - 1);
    in_.seek(end);
    return line;
  }

  int64_t read_long() {
    const auto length = in_.read<uint8_t>();
    require(length <= 8, "has an integer of more than 8 bytes");
    const std::string_view bytes = in_.take_text(length);
    if (bytes.empty()) {
      return 0;
    }
    uint64_t bits = static_cast<int8_t>(bytes.back()) < 0 ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) {
      bits = bits << 8 | static_cast<uint8_t>(bytes[i]);
    }
    return static_cast<int64_t>(bits);
  }

  // --- the objects of torch ---

  void push_global(std::string_view module, std::string_view name) {
    for (const known_global& known : known_globals) {
      if (known.module == module && known.name == name) {
        push({.what = known.what, .type = known.type});
        return;
      }
    }
    throw error(errc::unsupported,
                "{}: the pickle asks for {}.{} at byte {}, which tensors do not need: refused, "
                "nothing was run. Save the "
                "model's state_dict as safetensors instead.",
                in_.where(), printable(module), printable(name), opcode_at_);
  }

  /// Persistent id ('storage', class, key, location, elements).
  void push_storage() {
    const value& id = expect(pop(), kind::tuple);
    require(id.items.size() == 5 && text_of(id.items[0]) == "storage", "has a persistent id that is no storage");
    const value& type = expect(id.items[1], kind::storage_class);
    const std::string_view key = text_of(id.items[2]);
    require(key.size() <= longest_storage_key, "has a storage key of more than 255 bytes");
    const int64_t elements = integer_of(id.items[4]);
    require(elements >= 0, "has a storage of negative size");
    push({.what = kind::storage, .type = type.type, .integer = elements, .text = key});
  }

  void reduce(reference function, reference argument) {
    // Checked before the copy: a long tuple recalled over and over would cost its length each time.
    require(expect(argument, kind::tuple).items.size() <= 7, "calls a function with more than 7 values");
    const std::vector<reference> arguments = values_[argument].items;
    switch (values_[function].what) {
    case kind::rebuild_tensor:
      // (storage, offset, shape, stride, requires_grad, hooks[, metadata])
      require(arguments.size() == 6 || arguments.size() == 7, "calls _rebuild_tensor_v2 with other than 6 or 7 values");
      require(arguments.size() == 6 || values_[arguments[6]].what == kind::none, "has a tensor with metadata");
      expect(arguments[0], kind::storage);
      push({.what = kind::tensor,
            .integer = integer_of(arguments[1]),
            .items = {arguments[0], arguments[2], arguments[3]}});
      return;
    case kind::rebuild_parameter:  // (tensor, requires_grad, hooks): the tensor itself is all that
                                   // matters
      require(arguments.size() == 3, "calls _rebuild_parameter with other than 3 values");
      expect(arguments[0], kind::tensor);
      stack_.push_back(arguments[0]);
      return;
    case kind::ordered_dictionary_class:
      require(arguments.empty(), "makes an OrderedDict with arguments");
      push({.what = kind::dictionary});
      return;
    default:
      throw error(errc::unsupported, "{}: the pickle calls {} at byte {}: refused", in_.where(),
                  to_string(values_[function].what), opcode_at_);
    }
  }

  /// torch hangs a `_metadata` attribute (module versions) on a state dictionary; it is dropped.
  void build() {
    expect(pop(), kind::dictionary);
    expect(top(), kind::dictionary);
  }

  // --- the result ---

  std::vector<pickled_tensor> collect(reference root) const {
    const value& dictionary = values_[root];
    if (dictionary.what != kind::dictionary) {
      throw error(errc::unsupported, "{}: holds {}, not a dictionary of tensors (a state_dict)", in_.where(),
                  to_string(dictionary.what));
    }
    std::vector<pickled_tensor> tensors;
    std::set<std::string_view> names;
    for (size_t i = 0; i < dictionary.items.size(); i += 2) {
      const std::string_view name = text_of(dictionary.items[i]);
      const value& tensor = values_[dictionary.items[i + 1]];
      if (tensor.what != kind::tensor) {
        throw error(errc::unsupported, "{}: the value of \"{}\" is {}, not a tensor: save the model's state_dict alone",
                    in_.where(), printable(name), to_string(tensor.what));
      }
      if (!names.insert(name).second) {
        throw error(errc::bad_file, "{}: tensor {} occurs twice", in_.where(), printable(name));
      }
      tensors.push_back(describe(name, tensor));
    }
    return tensors;
  }

  pickled_tensor describe(std::string_view name, const value& tensor) const {
    const value& storage = values_[tensor.items[0]];
    pickled_tensor result{.name = std::string(name),
                          .type = storage.type,
                          .storage_key = std::string(storage.text),
                          .storage_elements = storage.integer,
                          .offset = tensor.integer,
                          .shape = integers_of(tensor.items[1]),
                          .stride = integers_of(tensor.items[2])};
    if (!fits(result)) {
      throw error(errc::bad_file,
                  "{}: tensor {} (shape [{}], stride [{}], offset {}) does not fit its storage of "
                  "{} elements",
                  in_.where(), printable(name), fmt::join(result.shape, ", "), fmt::join(result.stride, ", "),
                  result.offset, result.storage_elements);
    }
    return result;
  }

  static bool fits(const pickled_tensor& tensor) {
    if (tensor.shape.size() != tensor.stride.size() || tensor.offset < 0 || tensor.offset > tensor.storage_elements) {
      return false;
    }
    int64_t elements = 1;
    int64_t last = tensor.offset;  // the highest element touched
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      const int64_t extent = tensor.shape[d];
      int64_t reach = 0;
      if (extent < 0 || tensor.stride[d] < 0 || __builtin_mul_overflow(elements, extent, &elements) ||
          (extent > 0 && (__builtin_mul_overflow(extent - 1, tensor.stride[d], &reach) ||
                          __builtin_add_overflow(last, reach, &last)))) {
        return false;
      }
    }
    return elements == 0 || (last < tensor.storage_elements && elements <= tensor.storage_elements);
  }

  // --- checked access ---

  const value& expect(reference r, kind wanted) const {
    if (values_[r].what != wanted) {
      throw error(errc::bad_file, "{}: {} where {} is needed, before byte {}", in_.where(), to_string(values_[r].what),
                  to_string(wanted), in_.position());
    }
    return values_[r];
  }

  std::string_view text_of(reference r) const { return expect(r, kind::text).text; }
  int64_t integer_of(reference r) const { return expect(r, kind::integer).integer; }

  std::vector<int64_t> integers_of(reference r) const {
    const std::vector<reference>& items = expect(r, kind::tuple).items;
    require(items.size() <= most_dimensions, "has a tensor of more than 64 dimensions");
    std::vector<int64_t> integers;
    integers.reserve(items.size());
    for (const reference item : items) {
      integers.push_back(integer_of(item));
    }
    return integers;
  }

  void require(bool condition, const char* complaint) const {
    if (!condition) {
      throw error(errc::bad_file, "{}: the pickle {}, at byte {}", in_.where(), complaint, opcode_at_);
    }
  }

  byte_reader in_;
  uint64_t opcode_at_ = 0;
  std::vector<value> values_;
  std::vector<reference> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, reference> memo_;
};

}  // namespace

int64_t pickled_tensor::elements() const {
  int64_t n = 1;
  for (const int64_t extent : shape) {
    n *= extent;
  }
  return n;
}

bool pickled_tensor::contiguous() const {
  if (elements() == 0) {
    return true;
  }
  int64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && stride[d] != expected) {
      return false;
    }
    expected *= shape[d];
  }
  return true;
}

std::vector<pickled_tensor> read_tensor_pickle(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() > longest_pickle_bytes) {
    throw error(errc::unsupported, "{}: a pickle of {} bytes, the limit for a description of tensors is {}", where,
                bytes.size(), longest_pickle_bytes);
  }
  return pickle_machine(bytes, where).run();
}

}  // namespace troupe::io

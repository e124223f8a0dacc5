#include "io/weights/pickle/machine.hpp"

#include "base/error.hpp"
#include "io/weights/pickle/torch.hpp"

namespace troupe::io::pickle {
namespace {

class machine {
public:
  machine(byte_reader& in, stack& values) : in_(in), values_(values) {}

  /// False: the pickle ends here.
  bool step() {
    values_.begin_opcode();
    const auto opcode = in_.read<uint8_t>();
    if (opcode == '.') {
      return false;
    }
    if (!push_scalar(opcode) && !build_container(opcode) && !use_memo(opcode) && !call(opcode)) {
      throw error(errc::unsupported, "{}: pickle opcode 0x{:02x} at byte {} is not one that tensors need: refused",
                  in_.where(), opcode, values_.opcode_at());
    }
    return true;
  }

private:
  bool push_scalar(uint8_t opcode) {
    switch (opcode) {
    case 'N':
      values_.push({.what = kind::none});
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      values_.push({.what = kind::boolean, .integer = opcode == 0x88});
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
      values_.push({.what = kind::real});
      return true;
    case 'X':  // BINUNICODE
      push_text(in_.read<uint32_t>());
      return true;
    case 0x8C:  // SHORT_BINUNICODE
      push_text(in_.read<uint8_t>());
      return true;
    case 0x8D:  // BINUNICODE8
      push_text(in_.read<uint64_t>());
      return true;
    default:
      return false;
    }
  }

  bool build_container(uint8_t opcode) {
    switch (opcode) {
    case '(':  // MARK
      values_.mark();
      return true;
    case '}':
      values_.push({.what = kind::dictionary});
      return true;
    case ']':
      values_.push({.what = kind::list});
      return true;
    case ')':
      values_.push({.what = kind::tuple});
      return true;
    case 't':  // TUPLE
      values_.push({.what = kind::tuple, .items = values_.pop_to_mark()});
      return true;
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      values_.push({.what = kind::tuple, .items = values_.pop_many(opcode - 0x84U)});
      return true;
    case 's':  // SETITEM
      values_.append(kind::dictionary, values_.pop_many(2));
      return true;
    case 'u':  // SETITEMS
      values_.append(kind::dictionary, values_.pop_to_mark());
      return true;
    case 'a':  // APPEND
      values_.append(kind::list, values_.pop_many(1));
      return true;
    case 'e':  // APPENDS
      values_.append(kind::list, values_.pop_to_mark());
      return true;
    default:
      return false;
    }
  }

  bool use_memo(uint8_t opcode) {
    switch (opcode) {
    case 'q':  // BINPUT
      values_.memorise(in_.read<uint8_t>());
      return true;
    case 'r':  // LONG_BINPUT
      values_.memorise(in_.read<uint32_t>());
      return true;
    case 0x94:  // MEMOIZE
      values_.memorise();
      return true;
    case 'h':  // BINGET
      values_.recall(in_.read<uint8_t>());
      return true;
    case 'j':  // LONG_BINGET
      values_.recall(in_.read<uint32_t>());
      return true;
    default:
      return false;
    }
  }

  bool call(uint8_t opcode) {
    switch (opcode) {
    case 0x95: {  // FRAME: a hint for buffered readers
      const auto length = in_.read<uint64_t>();
      values_.require(length <= in_.left(), "announces a frame beyond its end");
      return true;
    }
    case 'c': {  // GLOBAL
      const std::string_view module = read_line();
      push_global(values_, module, read_line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const std::vector<reference> names = values_.pop_many(2);
      push_global(values_, values_.text_of(names[0]), values_.text_of(names[1]));
      return true;
    }
    case 'Q':  // BINPERSID
      push_storage(values_);
      return true;
    case 'R': {  // REDUCE
      const std::vector<reference> operands = values_.pop_many(2);
      call_function(values_, operands[0], operands[1]);
      return true;
    }
    case 'b':  // BUILD
      set_attributes(values_);
      return true;
    default:
      return false;
    }
  }

  void push_integer(int64_t integer) { values_.push({.what = kind::integer, .integer = integer}); }
  void push_text(uint64_t bytes) { values_.push({.what = kind::text, .text = in_.take_text(bytes)}); }

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
    values_.require(length <= 8, "has an integer of more than 8 bytes");
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

  byte_reader& in_;
  stack& values_;
};

}  // namespace

reference run(byte_reader& in, stack& values) {
  values.require(in.left() > 0 && in.read<uint8_t>() == 0x80, "does not start with a protocol 2 to 5 marker");
  const auto protocol = in.read<uint8_t>();
  if (protocol < 2 || protocol > 5) {
    throw error(errc::unsupported, "{}: pickle protocol {} at byte 1: 2 to 5 are read", in.where(), protocol);
  }
  machine steps(in, values);
  while (steps.step()) {
  }
  return values.pop();
}

}  // namespace troupe::io::pickle

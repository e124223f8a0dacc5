#include "io/weights/pickle/pickle.hpp"
#include "support/damage.hpp"
#include "support/pickle_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using std::string_literals::operator""s;
using test::expect_error;
using test::pickle::text;

std::vector<pickled_tensor> read(const std::string& pickle) { return read_tensor_pickle(test::to_bytes(pickle), "p"); }

TEST(PickleTorchTest, RefusesEveryOtherGlobalByName) {
  const auto refuse = [](const std::string& pickle, const char* name) {
    expect_error(errc::unsupported, name, [&] { read(pickle); });
  };
  refuse("\x80\x02"
         "cos\nsystem\n(" +
             text("true") + "tR.",
         "os.system");
  refuse("\x80\x02"
         "cposix\nsystem\n(" +
             text("true") + "tR.",
         "posix.system");
  refuse("\x80\x02"
         "c__builtin__\neval\n(" +
             text("1") + "tR.",
         "__builtin__.eval");
  refuse("\x80\x04"s + text("builtins") + text("eval") + "\x93(" + text("1") + "tR.", "builtins.eval");
  refuse("\x80\x04"s + text("torch") + text("load") + "\x93.", "torch.load");
  refuse("\x80\x02"
         "ctorch._utils\n_rebuild_tensor\n.",
         "torch._utils._rebuild_tensor");
  // A name must not reach a known global through a different split of module and name.
  refuse("\x80\x04"s + text("") + text("torch.FloatStorage") + "\x93.", ".torch.FloatStorage");
  refuse("\x80\x02"
         "cnumpy.core.multiarray\n_reconstruct\n.",
         "numpy.core.multiarray._reconstruct");
}

TEST(PickleTorchTest, RefusesCallsOfWhatIsNoFunction) {
  expect_error(errc::unsupported, "calls a storage class", [] {
    read("\x80\x02"
         "ctorch\nFloatStorage\n)R.");
  });
  expect_error(errc::unsupported, "calls a dictionary", [] { read("\x80\x02})R."); });
  expect_error(errc::bad_file, "with arguments", [] {
    read("\x80\x02"
         "ccollections\nOrderedDict\n(K\1tR.");
  });
  expect_error(errc::bad_file, "a tuple is needed", [] {
    read("\x80\x02"
         "ccollections\nOrderedDict\nNR.");
  });
}

}  // namespace
}  // namespace troupe::io

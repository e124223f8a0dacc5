/// Where a command computes: on the host's threads, or on a card.
#pragma once

#include "actors/models/model_files.hpp"
#include "base/context.hpp"
#include "base/device.hpp"
#include "engine/tensor/buffer.hpp"
#include "io/job/job.hpp"

#include <boost/program_options.hpp>

#include <memory>
#include <utility>

namespace troupe {

/// --device auto|cpu|cuda; auto, where it is not given: a card where there is one.
/// Errors  usage_error, when arguments are parsed: another word.
void add_device_option(boost::program_options::options_description& options, io::device_choice& device);

class compute_place {
public:
  /// Says on which card, where it takes one.
  /// Errors  unsupported: no card can be used (says why, and what to do); device_failure.
  compute_place(int threads, io::device_choice device);

  context& ctx() { return ctx_; }
  device* card() const { return card_.get(); }  ///< null: the host

private:
  thread_pool pool_;
  std::unique_ptr<device> card_;
  context ctx_;
};

/// A model's weights where a command computes: its own, or a copy of them on the card.
class placed_weights {
public:
  /// Errors  out_of_memory.
  placed_weights(compute_place& place, const actors::model& model);

  const_reals data() const { return data_; }

private:
  engine::buffer on_card_;
  const_reals data_;
};

struct placed_model {
  placed_model(compute_place& place, actors::model_ptr loaded) : model(std::move(loaded)), weights(place, *model) {}

  actors::model_ptr model;
  placed_weights weights;
};

}  // namespace troupe

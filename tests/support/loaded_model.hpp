/// A model of tests/data in memory. For the layers above io and engine only.
#pragma once

#include "engine/models/transformer.hpp"
#include "engine/models/weights.hpp"
#include "io/model_folder.hpp"
#include "kernels/base/aligned.hpp"

#include <string>

namespace troupe::test {

struct loaded_model {
  engine::transformer net;
  aligned_buffer<float> weights;

  /// `folder` within tests/data; with `scalar_head` as the reward model of v_head.safetensors.
  explicit loaded_model(const std::string& folder, bool scalar_head = false)
      : loaded_model(io::model_folder::open(std::string(TROUPE_TEST_DATA) + "/" + folder),
                     scalar_head) {}

  const float* data() const { return weights.data(); }

private:
  loaded_model(const io::model_folder& files, bool scalar_head)
      : net(describe_with(files, scalar_head)), weights(net.layout().arena_size()) {
    std::vector<std::string> names = files.tensor_names();
    if (!scalar_head) {
      std::erase(names, "v_head.weight"); // lies beside every tiny model that has a reward twin
    }
    engine::load_weights(net, names, files.finder(), weights.data(), scalar_head);
  }

  static engine::model_description describe_with(const io::model_folder& files, bool scalar_head) {
    engine::model_description d = engine::describe(files.config());
    d.scalar_head = d.scalar_head || scalar_head;
    return d;
  }
};

} // namespace troupe::test

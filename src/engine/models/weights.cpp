#include "engine/models/weights.hpp"

#include "base/error.hpp"
#include "base/random.hpp"
#include "engine/models/tensor_names.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>

namespace troupe::engine {

namespace {

/// The mistakes of a file, to be told in one text.
class mistake_list {
public:
  void add(errc code, std::string text) {
    texts_.push_back(std::move(text));
    code_ = texts_.size() == 1 ? code : std::min(code_, code, precedes);
  }

  void throw_if_any() const {
    if (texts_.empty()) {
      return;
    }
    const size_t shown = std::min<size_t>(texts_.size(), 100);
    std::string text = fmt::format("the weights do not fit the model ({} mistakes):", texts_.size());
    for (size_t i = 0; i < shown; ++i) {
      text += "\n  " + texts_[i];
    }
    if (shown < texts_.size()) {
      text += fmt::format("\n  and {} more", texts_.size() - shown);
    }
    throw error(code_, text);
  }

private:
  /// A missing tensor says most about what is wrong, an unknown one least.
  static bool precedes(errc a, errc b) { return rank(a) < rank(b); }
  static int rank(errc code) { return code == errc::not_found ? 0 : code == errc::shape_mismatch ? 1 : 2; }

  std::vector<std::string> texts_;
  errc code_ = errc::bad_file;
};

/// One file against one model.
class loader {
public:
  loader(const inference_model& net, const std::vector<std::string>& names, const array_finder& find)
      : net_(net), names_(names.begin(), names.end()), find_(find), tensors_(file_tensors(net)),
        naming_(net.description().family->tensors) {
    rename_trunk();
    // Other names that a head goes by: transformers 5 writes lm_head for GPT-NeoX too, and value
    // heads of other trainers stand in a file of their own.
    rename(std::string(naming_.head), "lm_head.weight");
    rename("score.weight", "v_head.weight");
  }

  void check(bool new_scalar_head);
  void fill(reals weights, const row_choice& choose) const;

private:
  void place(const file_tensor& tensor, const chosen_rows& chosen, std::span<float> values) const;
  void rename_trunk();
  void rename(const std::string& usual, const std::string& other);
  void check_tensor(const file_tensor& tensor, bool may_be_absent);
  void check_unknown();
  void check_tied_head();
  bool is_ignorable_head(const std::string& name) const;
  const parameter_role& role_of(const file_tensor& tensor) const { return net_.layout()[tensor.parameter].role; }

  const inference_model& net_;
  std::set<std::string> names_;
  const array_finder& find_;
  std::vector<file_tensor> tensors_;  ///< refuses a model without a family
  const tensor_naming& naming_;
  mistake_list mistakes_;
};

/// A file of the bare trunk has no prefix on any name.
void loader::rename_trunk() {
  const std::string_view prefix = naming_.prefix;
  const bool whole_model =
      std::any_of(names_.begin(), names_.end(), [&](const std::string& name) { return name.starts_with(prefix); });
  if (whole_model) {
    return;
  }
  for (file_tensor& tensor : tensors_) {
    if (tensor.name.starts_with(prefix)) {
      tensor.name.erase(0, prefix.size());
    }
  }
}

/// Expects `other` in the place of `usual`, if that is what the file has.
void loader::rename(const std::string& usual, const std::string& other) {
  if (names_.contains(usual) || !names_.contains(other)) {
    return;
  }
  for (file_tensor& tensor : tensors_) {
    if (tensor.name == usual) {
      tensor.name = other;
    }
  }
}

void loader::check(bool new_scalar_head) {
  for (const file_tensor& tensor : tensors_) {
    check_tensor(tensor, new_scalar_head && role_of(tensor).kind == parameter_kind::scalar_head);
  }
  check_unknown();
  mistakes_.throw_if_any();
  check_tied_head();
  mistakes_.throw_if_any();
}

void loader::check_tensor(const file_tensor& tensor, bool may_be_absent) {
  const std::optional<host_array> array = names_.contains(tensor.name) ? find_(tensor.name) : std::nullopt;
  if (!array) {
    if (!may_be_absent) {
      mistakes_.add(errc::not_found,
                    fmt::format("{} is missing (shape [{}])", tensor.name, fmt::join(tensor.shape, ", ")));
    }
    return;
  }
  if (array->shape != tensor.shape) {
    mistakes_.add(errc::shape_mismatch, fmt::format("{} has shape [{}], the model needs [{}]", tensor.name,
                                                    fmt::join(array->shape, ", "), fmt::join(tensor.shape, ", ")));
  }
  const bool is_float =
      array->type == dtype::f32 || array->type == dtype::f16 || array->type == dtype::bf16 || array->type == dtype::f64;
  if (!is_float) {
    mistakes_.add(errc::bad_file, fmt::format("{} has type {}: weights are f32, f16, bf16 or f64", tensor.name,
                                              to_string(array->type)));
  }
}

/// The language-model head is left aside where it is tied, and where a scalar head takes its place.
bool loader::is_ignorable_head(const std::string& name) const {
  const model_description& d = net_.description();
  return (name == naming_.head || name == "lm_head.weight") && (d.tied_head || d.scalar_head);
}

void loader::check_unknown() {
  std::set<std::string, std::less<>> known;
  for (const file_tensor& tensor : tensors_) {
    known.insert(tensor.name);
  }
  for (const std::string& name : names_) {
    if (!known.contains(name) && !is_ignorable_head(name) &&
        !is_parameterless_buffer(*net_.description().family, name)) {
      mistakes_.add(errc::bad_file, fmt::format("{} is not part of the model", name));
    }
  }
}

/// Loading a head that differs from the embedding it is said to be tied to would quietly drop it.
void loader::check_tied_head() {
  const model_description& d = net_.description();
  std::string name(naming_.head);
  name = names_.contains(name) ? name : "lm_head.weight";
  if (!d.tied_head || d.scalar_head || !names_.contains(name)) {
    return;
  }
  const auto embedding = std::find_if(tensors_.begin(), tensors_.end(), [&](const file_tensor& tensor) {
    return role_of(tensor).kind == parameter_kind::token_table;
  });
  const std::optional<host_array> head_array = find_(name);
  if (head_array && to_float32(*head_array) != to_float32(*find_(embedding->name))) {
    mistakes_.add(errc::bad_file, fmt::format("{} differs from {}, which it is tied to: set tie_word_embeddings "
                                              "to false in config.json",
                                              name, embedding->name));
  }
}

void loader::fill(reals weights, const row_choice& choose) const {
  for (size_t i = 0; i < tensors_.size();) {
    const parameter& p = net_.layout()[tensors_[i].parameter];
    const chosen_rows chosen =
        choose ? choose(p) : chosen_rows{.first = 0, .last = p.shape[0], .arena_offset = p.offset};
    std::vector<float> values(static_cast<size_t>(chosen.count() * tensors_[i].columns));
    for (const int64_t index = tensors_[i].parameter; i < tensors_.size() && tensors_[i].parameter == index; ++i) {
      place(tensors_[i], chosen, values);
    }
    if (chosen.count() > 0) {
      write_rows(p, chosen.count(), values, weights + chosen.arena_offset);
    }
  }
}

/// Elements [begin, end) of an array, without a copy.
static host_array slice(host_array array, int64_t begin, int64_t end) {
  const size_t width = array.bytes.size() / static_cast<size_t>(array.elements());
  array.bytes = array.bytes.subspan(static_cast<size_t>(begin) * width, static_cast<size_t>(end - begin) * width);
  array.shape = {end - begin};
  return array;
}

/// What of a tensor belongs to the chosen rows. A file that is mapped is read only there, but for tensors whose rows
/// stand in another order.
void loader::place(const file_tensor& tensor, const chosen_rows& chosen, std::span<float> values) const {
  const int64_t first = std::max(chosen.first, tensor.first_row);
  const int64_t last = std::min(chosen.last, tensor.first_row + tensor.rows);
  const std::optional<host_array> array = first < last ? find_(tensor.name) : std::nullopt;
  if (!array) {
    return;
  }
  const int64_t begin = (first - tensor.first_row) * tensor.columns;
  const int64_t end = (last - tensor.first_row) * tensor.columns;
  float* const to = values.data() + (first - chosen.first) * tensor.columns;
  if (tensor.order == row_order::same) {
    std::ranges::copy(to_float32(slice(*array, begin, end)), to);
    return;
  }
  std::vector<float> rows(static_cast<size_t>(tensor.rows * tensor.columns));
  file_tensor alone = tensor;
  alone.first_row = 0;
  place_rows(alone, to_float32(*array), rows);
  std::copy(rows.begin() + begin, rows.begin() + end, to);
}

}  // namespace

void load_weights(const inference_model& net, const std::vector<std::string>& names, const array_finder& find,
                  reals weights, bool new_scalar_head, const row_choice& choose) {
  loader file(net, names, find);
  file.check(new_scalar_head);
  file.fill(weights, choose);
}

void save_weights(const inference_model& net, const_reals weights, const std::function<void(host_array)>& sink,
                  const std::function<void()>& enter) {
  const std::vector<arena_range> segments = net.segments();
  auto next = segments.begin();
  const auto enter_up_to = [&](int64_t offset) {
    for (; next != segments.end() && next->first <= offset; ++next) {
      if (enter) {
        enter();
      }
    }
  };
  std::vector<float> values;
  int64_t held = -1;
  for (const file_tensor& tensor : file_tensors(net)) {
    if (tensor.parameter != held) {
      const parameter& p = net.layout()[tensor.parameter];
      enter_up_to(p.offset);
      values = read_parameter(p, weights);
      held = tensor.parameter;
    }
    sink(make_host_array(tensor.name, tensor.shape, extract_rows(tensor, values)));
  }
  enter_up_to(net.layout().arena_size());
}

void initialise_weights(const inference_model& net, uint64_t seed, double standard_deviation, reals weights,
                        const std::function<void()>& written) {
  const auto all = net.layout().all();
  for (size_t i = 0; i < all.size(); ++i) {
    const parameter& p = all[i];
    std::vector<float> values = read_parameter(p, weights);
    const random_key key{.seed = seed, .stream = i, .purpose = random_purpose::initialisation};
    for (size_t element = 0; element < values.size(); ++element) {
      if (p.is_matrix()) {
        values[element] = static_cast<float>(standard_deviation * random_normal(key, element));
      } else {
        values[element] = p.role.kind == parameter_kind::norm_scale ? 1.0F : 0.0F;
      }
    }
    write_parameter(p, values, weights);
    if (written) {
      written();
    }
  }
}

}  // namespace troupe::engine

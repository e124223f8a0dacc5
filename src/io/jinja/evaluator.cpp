#include "io/jinja/evaluator.hpp"

#include "io/jinja/filters.hpp"
#include "io/jinja/operators.hpp"
#include "io/jinja/print.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::io::jinja {
namespace {

/// Gives a variable another value for as long as it lives.
template <class T> class temporarily {
public:
  temporarily(T& variable, T other) : variable_(variable), before_(std::exchange(variable, std::move(other))) {}
  ~temporarily() { variable_ = std::move(before_); }
  temporarily(const temporarily&) = delete;
  temporarily& operator=(const temporarily&) = delete;

private:
  T& variable_;
  T before_;
};

}  // namespace

const value* scope::find(std::string_view name) const {
  for (const scope* at = this; at != nullptr; at = at->around.get()) {
    const auto found =
        std::find_if(at->names.begin(), at->names.end(), [&](const auto& entry) { return entry.first == name; });
    if (found != at->names.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

void scope::set(std::string_view name, value what) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == name; });
  if (found == names.end()) {
    names.emplace_back(name, std::move(what));
  } else {
    found->second = std::move(what);
  }
}

class evaluator::macro final : public object {
public:
  macro(evaluator& owner, std::shared_ptr<const macro_body> what, std::shared_ptr<scope> around)
      : owner_(owner), what_(std::move(what)), around_(std::move(around)) {}

  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  value call(machine&, arguments given) override { return owner_.call_macro(*this, std::move(given)); }
  std::optional<value> attribute(std::string_view name) const override {
    return name == "name" ? std::optional(make_text(what_->name)) : std::nullopt;
  }

  const std::shared_ptr<const macro_body>& what() const { return what_; }
  const std::shared_ptr<scope>& around() const { return around_; }

private:
  evaluator& owner_;
  std::shared_ptr<const macro_body> what_;
  std::shared_ptr<scope> around_;
};

/// The variable `loop`.
class evaluator::loop final : public object, public std::enable_shared_from_this<loop> {
public:
  loop(std::vector<value> items, int depth) : items_(std::move(items)), nested_in_(depth) {
    for (const value& item : items_) {
      depth_of_items_ = std::max(depth_of_items_, item.depth());
    }
  }

  std::string_view type_name() const override { return "LoopContext"; }
  int depth() const override { return depth_of_items_ + 1; }

  size_t size() const { return items_.size(); }
  const value& at(size_t index) {
    index_ = index;
    return items_[index];
  }
  /// After the loop: what `changed` remembered may hold the loop itself.
  void finish() { last_.clear(); }

  std::optional<value> attribute(std::string_view name) const override {
    const auto index = static_cast<int64_t>(index_);
    const auto count = static_cast<int64_t>(items_.size());
    if (name == "previtem" || name == "nextitem") {
      return neighbour(name == "previtem");
    }
    if (name == "cycle" || name == "changed") {
      auto self = std::const_pointer_cast<loop>(shared_from_this());
      const bool cycles = name == "cycle";
      return make_function(
          [self, cycles](machine&, arguments given) {
            return cycles ? self->cycle(given.positional) : value(self->changed(std::move(given.positional)));
          },
          depth());
    }
    const std::pair<std::string_view, value> all[] = {{"index", index + 1},
                                                      {"index0", index},
                                                      {"revindex", count - index},
                                                      {"revindex0", count - index - 1},
                                                      {"first", index == 0},
                                                      {"last", index + 1 == count},
                                                      {"length", count},
                                                      {"depth", int64_t{nested_in_ + 1}},
                                                      {"depth0", int64_t{nested_in_}}};
    for (const auto& [known, what] : all) {
      if (known == name) {
        return what;
      }
    }
    return std::nullopt;
  }

private:
  value neighbour(bool previous) const {
    if (previous ? index_ == 0 : index_ + 1 == items_.size()) {
      return make_undefined(fmt::format("there is no {} item", previous ? "previous" : "next"));
    }
    return items_[previous ? index_ - 1 : index_ + 1];
  }

  value cycle(const std::vector<value>& among) const {
    if (among.empty()) {
      fail("no items for cycling given");
    }
    return among[index_ % among.size()];
  }

  bool changed(std::vector<value> now) {
    const bool same = asked_ && std::equal(now.begin(), now.end(), last_.begin(), last_.end(), equal);
    asked_ = true;
    last_ = std::move(now);
    return !same;
  }

  std::vector<value> items_;
  int nested_in_;
  int depth_of_items_ = 0;
  size_t index_ = 0;
  bool asked_ = false;
  std::vector<value> last_;
};

/// Counts nested evaluations, so that the stack lasts.
class evaluator::nested {
public:
  explicit nested(evaluator& of) : of_(of) {
    constexpr int most = 1000;
    if (++of_.depth_ > most) {
      --of_.depth_;
      fail(fmt::format("evaluations are nested more than {} deep", most));
    }
  }
  ~nested() { --of_.depth_; }
  nested(const nested&) = delete;
  nested& operator=(const nested&) = delete;

private:
  evaluator& of_;
};

evaluator::evaluator(variables given, std::string date)
    : machine(std::move(date)), scope_(std::make_shared<scope>(scope{nullptr, std::move(given)})) {}

evaluator::~evaluator() {
  for (const auto& one : namespaces_) {
    one->clear();
  }
  for (const auto& one : held_scopes_) {
    one->names.clear();
  }
}

text evaluator::run(const block& whole) {
  text out;
  const temporarily<text*> sink(out_, &out);
  run_block(whole);
  return out;
}

// --- expressions

value evaluator::evaluate(const expression& what) {
  const nested level(*this);
  line_ = what.line;
  spend(1);
  return std::visit([&](const auto& node) { return evaluate(node); }, what.what);
}

value evaluator::evaluate_or_nothing(const expression_ptr& what) { return what ? evaluate(*what) : value(); }

value evaluator::evaluate(const variable& what) {
  if (const value* found = scope_->find(what.name)) {
    return *found;
  }
  if (what.name == "namespace") {
    return make_function([this](machine&, arguments given) { return make_namespace(std::move(given)); });
  }
  if (auto function = find_function(what.name)) {
    return std::move(*function);
  }
  return make_undefined(fmt::format("'{}' is undefined", what.name));
}

value evaluator::evaluate(const list_display& what) {
  std::vector<value> items;
  for (const expression_ptr& one : what.items) {
    items.push_back(evaluate(*one));
  }
  return make_sequence(std::move(items), what.is_tuple ? sequence::kind::tuple : sequence::kind::list);
}

value evaluator::evaluate(const dict_display& what) {
  std::vector<std::pair<value, value>> entries;
  for (const auto& [key, item] : what.entries) {
    value name = evaluate(*key);
    require_hashable(name);
    value held = evaluate(*item);
    const auto found =
        std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return equal(e.first, name); });
    if (found == entries.end()) {
      entries.emplace_back(std::move(name), std::move(held));
    } else {
      found->second = std::move(held);
    }
  }
  return make_mapping(std::move(entries));
}

value evaluator::evaluate(const negation& what) { return !is_true(evaluate(*what.operand)); }

value evaluator::evaluate(const sign& what) {
  const value operand = evaluate(*what.operand);
  return what.is_minus ? minus(operand) : plus(operand);
}

value evaluator::evaluate(const arithmetic& what) {
  value result = evaluate(*what.first);
  for (const auto& [how, operand] : what.rest) {
    result = apply(*this, how, result, evaluate(*operand));
  }
  return result;
}

value evaluator::evaluate(const logic& what) {
  value result;
  for (const expression_ptr& operand : what.operands) {
    result = evaluate(*operand);
    if (is_true(result) == what.is_or) {
      break;
    }
  }
  return result;
}

value evaluator::evaluate(const comparison& what) {
  value left = evaluate(*what.first);
  for (const auto& [how, operand] : what.rest) {
    value right = evaluate(*operand);
    if (!holds(*this, how, left, right)) {
      return false;
    }
    left = std::move(right);
  }
  return true;
}

value evaluator::evaluate(const concatenation& what) {
  text result;
  for (const expression_ptr& operand : what.operands) {
    result.append(to_text(*this, evaluate(*operand)));
    expect_bytes(static_cast<double>(result.size()));
  }
  return made(std::move(result));
}

value evaluator::evaluate(const conditional& what) {
  if (is_true(evaluate(*what.test))) {
    return evaluate(*what.then);
  }
  return what.otherwise ? evaluate(*what.otherwise)
                        : make_undefined("the inline if-expression was false and has no else");
}

value evaluator::evaluate(const postfix& what) {
  value result = evaluate(*what.base);
  for (const step& next : what.steps) {
    result = follow(result, next);
  }
  return result;
}

arguments evaluator::gather(const argument_list& given) {
  arguments out;
  for (const expression_ptr& one : given.positional) {
    out.positional.push_back(evaluate(*one));
  }
  if (given.more_positional) {
    for (value& one : items_of(evaluate(*given.more_positional))) {
      spend(1);
      out.positional.push_back(std::move(one));
    }
  }
  for (const auto& [name, one] : given.named) {
    out.named.emplace_back(name, evaluate(*one));
  }
  if (given.more_named) {
    const value more = evaluate(*given.more_named);
    if (more.as_mapping() == nullptr) {
      fail(fmt::format("what follows ** is of type {}, not a dictionary", type_name(more)));
    }
    for (const auto& [key, one] : more.as_mapping()->entries) {
      out.named.emplace_back(to_text(*this, key).bytes(), one);
    }
  }
  return out;
}

value evaluator::follow(const value& base, const step& next) {
  line_ = next.line;
  spend(1);
  value result = std::visit([&](const auto& node) { return follow(base, node); }, next.what);
  line_ = next.line;
  return result;
}

value evaluator::follow(const value& base, const attribute& what) {
  spend(base.as_mapping() != nullptr ? static_cast<int64_t>(base.as_mapping()->entries.size()) / 16 : 0);
  return attribute_of(base, what.name);
}

value evaluator::follow(const value& base, const item& what) {
  const value key = evaluate(*what.key);
  spend(base.as_mapping() != nullptr ? static_cast<int64_t>(base.as_mapping()->entries.size()) / 16
        : base.as_text() != nullptr  ? weight_of(base) / 4
                                     : 0);
  return item_of(base, key);
}

value evaluator::follow(const value& base, const slice& what) {
  spend(base.as_text() != nullptr ? weight_of(base) / 4 : 0);
  const value from = evaluate_or_nothing(what.from);
  const value to = evaluate_or_nothing(what.to);
  const value by = evaluate_or_nothing(what.step);
  value part = slice_of(base, from, to, by);
  spend(weight_of(part) / 16);
  return part;
}

value evaluator::follow(const value& base, const call& what) { return machine::invoke(base, gather(what.given)); }

value evaluator::follow(const value& base, const filter& what) {
  return apply_filter(*this, what.name, base, gather(what.given));
}

value evaluator::follow(const value& base, const test& what) {
  return apply_test(*this, what.name, base, gather(what.given)) != what.negated;
}

// --- statements

jump evaluator::run_block(const block& body) {
  const nested level(*this);
  for (const statement& one : body) {
    line_ = one.line;
    spend(1);
    const jump way = std::visit([&](const auto& node) { return run(node); }, one.what);
    if (way != jump::none) {
      return way;
    }
  }
  return jump::none;
}

jump evaluator::run_scoped(const block& body) {
  const temporarily<std::shared_ptr<scope>> inner(scope_, std::make_shared<scope>(scope{scope_, {}}));
  return run_block(body);
}

void evaluator::write(const text& words) {
  constexpr int64_t bytes_a_step = 256;
  spend(static_cast<int64_t>(words.size()) / bytes_a_step);
  expect_bytes(static_cast<double>(out_->size() + words.size()));
  out_->append(words);
}

jump evaluator::run(const literal_output& what) {
  write(what.words);
  return jump::none;
}

jump evaluator::run(const output& what) {
  write(to_text(*this, evaluate(*what.what)));
  return jump::none;
}

jump evaluator::run(const if_block& what) {
  for (const branch& one : what.branches) {
    if (is_true(evaluate(*one.test))) {
      return run_block(one.body);
    }
  }
  return run_block(what.otherwise);
}

std::vector<value> evaluator::loop_items(const for_block& what) {
  std::vector<value> items = items_of(evaluate(*what.over));
  spend(static_cast<int64_t>(items.size()));
  if (!what.test) {
    return items;
  }
  std::vector<value> chosen;
  for (value& one : items) {
    const temporarily<std::shared_ptr<scope>> inner(scope_, std::make_shared<scope>(scope{scope_, {}}));
    assign(what.each, one);
    if (is_true(evaluate(*what.test))) {
      chosen.push_back(std::move(one));
    }
  }
  return chosen;
}

jump evaluator::run(const for_block& what) {
  const auto state = std::make_shared<loop>(loop_items(what), loop_depth_);
  if (state->size() == 0) {
    return run_scoped(what.otherwise);
  }
  const temporarily<int> deeper(loop_depth_, 0);
  struct finisher {
    loop& of;
    ~finisher() { of.finish(); }
  } const at_end{*state};
  for (size_t i = 0; i < state->size(); ++i) {
    spend(1);
    const temporarily<std::shared_ptr<scope>> inner(scope_, std::make_shared<scope>(scope{scope_, {}}));
    scope_->set("loop", std::static_pointer_cast<object>(state));
    assign(what.each, state->at(i));
    if (run_block(what.body) == jump::leave) {
      break;
    }
  }
  return jump::none;
}

jump evaluator::run(const set_value& what) {
  assign(what.to, evaluate(*what.what));
  return jump::none;
}

jump evaluator::run(const capture_block& what) {
  text captured;
  {
    const temporarily<text*> sink(out_, &captured);
    if (const jump way = run_scoped(what.body); way != jump::none) {
      return way;
    }
  }
  value result = std::move(captured);
  for (const step& one : what.filters) {
    result = follow(result, one);
  }
  if (what.to.empty()) {
    write(to_text(*this, result));
  } else {
    assign(what.to.front(), std::move(result));
  }
  return jump::none;
}

jump evaluator::run(const macro_definition& what) {
  scope_->set(what.what->name, make_macro(what.what));
  return jump::none;
}

jump evaluator::run(const call_block& what) {
  const auto& chain = std::get<postfix>(what.called->what);
  value callee = evaluate(*chain.base);
  for (size_t i = 0; i + 1 < chain.steps.size(); ++i) {
    callee = follow(callee, chain.steps[i]);
  }
  arguments given = gather(std::get<call>(chain.steps.back().what).given);
  given.named.emplace_back("caller", make_macro(what.caller));
  write(to_text(*this, machine::invoke(callee, std::move(given))));
  return jump::none;
}

jump evaluator::run(const with_block& what) {
  const auto inner = std::make_shared<scope>(scope{scope_, {}});
  for (const auto& [to, from] : what.values) {
    value held = evaluate(*from);
    const temporarily<std::shared_ptr<scope>> inside(scope_, inner);
    assign(to, std::move(held));
  }
  const temporarily<std::shared_ptr<scope>> inside(scope_, inner);
  return run_block(what.body);
}

jump evaluator::run(const generation_block& what) {
  const size_t begin = out_->size();
  run_scoped(what.body);
  out_->add_marks(begin, generated);
  return jump::none;
}

void evaluator::assign(const target& to, value what) {
  if (!to.parts.empty()) {
    std::vector<value> items = items_of(what);
    if (items.size() != to.parts.size()) {
      fail(fmt::format("{} values cannot be given to {} names", items.size(), to.parts.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) {
      assign(to.parts[i], std::move(items[i]));
    }
    return;
  }
  if (to.attribute.empty()) {
    scope_->set(to.name, std::move(what));
    return;
  }
  const value* holder = scope_->find(to.name);
  auto* names = holder != nullptr ? dynamic_cast<name_space*>(holder->as_object()) : nullptr;
  if (names == nullptr) {
    fail(fmt::format("\"{}\" is no namespace: its attribute \"{}\" cannot be set", to.name, to.attribute));
  }
  names->set(to.attribute, std::move(what));
}

value evaluator::make_namespace(arguments given) {
  auto made = std::make_shared<name_space>();
  for (const auto& [key, what] : gather_entries("namespace", std::move(given))) {
    made->set(to_text(*this, key).bytes(), what);
  }
  namespaces_.push_back(made);
  return std::static_pointer_cast<object>(made);
}

value evaluator::make_macro(std::shared_ptr<const macro_body> what) {
  held_scopes_.push_back(scope_);
  return std::static_pointer_cast<object>(std::make_shared<macro>(*this, std::move(what), scope_));
}

value evaluator::call_macro(const macro& called, arguments given) {
  constexpr int most = 64;
  if (macro_depth_ >= most) {
    fail(fmt::format("macros call macros more than {} deep", most));
  }
  const temporarily<int> deeper(macro_depth_, macro_depth_ + 1);
  const temporarily<int> loops(loop_depth_, 0);
  const auto body = called.what();
  const temporarily<std::shared_ptr<scope>> inner(scope_, std::make_shared<scope>(scope{called.around(), {}}));
  bind_parameters(*body, std::move(given));
  text out;
  {
    const temporarily<text*> sink(out_, &out);
    run_block(body->body);
  }
  return made(std::move(out));
}

void evaluator::bind_parameters(const macro_body& what, arguments given) {
  const std::vector<std::string>& names = what.parameters.names;
  const size_t taken = std::min(names.size(), given.positional.size());
  for (size_t i = 0; i < taken; ++i) {
    scope_->set(names[i], std::move(given.positional[i]));
  }
  given.positional.erase(given.positional.begin(), given.positional.begin() + static_cast<std::ptrdiff_t>(taken));
  std::vector<std::pair<value, value>> others;
  value caller = make_undefined("No caller defined");
  for (auto& [name, held] : given.named) {
    const auto found = std::find(names.begin() + static_cast<std::ptrdiff_t>(taken), names.end(), name);
    if (found != names.end()) {
      scope_->set(name, std::move(held));
    } else if (name == "caller") {
      caller = std::move(held);
    } else if (what.uses.kwargs) {
      others.emplace_back(make_text(name), std::move(held));
    } else {
      fail(fmt::format("macro '{}' takes no keyword argument '{}'", what.name, name));
    }
  }
  if (!what.uses.varargs && !given.positional.empty()) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", what.name, names.size()));
  }
  const bool names_caller = std::find(names.begin(), names.end(), "caller") != names.end();
  if (!names_caller) {
    scope_->set("caller", std::move(caller));
  }
  if (what.uses.kwargs) {
    scope_->set("kwargs", make_mapping(std::move(others)));
  }
  if (what.uses.varargs) {
    scope_->set("varargs", make_sequence(std::move(given.positional), sequence::kind::tuple));
  }
  const size_t first_default = names.size() - what.parameters.defaults.size();
  for (size_t i = taken; i < names.size(); ++i) {
    const bool is_set = std::any_of(scope_->names.begin(), scope_->names.end(),
                                    [&](const auto& entry) { return entry.first == names[i]; });
    if (!is_set) {
      scope_->set(names[i], i >= first_default
                                ? evaluate(*what.parameters.defaults[i - first_default])
                                : make_undefined(fmt::format("parameter '{}' was not provided", names[i])));
    }
  }
}

}  // namespace troupe::io::jinja

#include "io/jinja/parser.hpp"

#include "io/jinja/filters.hpp"
#include "io/jinja/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>

namespace troupe::io::jinja {
namespace {

using namespace std::string_view_literals;

template <class Node> expression_ptr make(int64_t line, Node node) {
  return std::make_unique<expression>(expression{std::move(node), line});
}

class parser {
public:
  explicit parser(std::vector<token> tokens) : tokens_(std::move(tokens)) {}

  block read() {
    block whole = read_block({});
    return whole;
  }

private:
  using kind = token::kind;

  // Counts what is nested; one lives in each function that may call itself.
  class level {
  public:
    explicit level(parser& of) : of_(of) {
      constexpr int most = 64;
      if (++of_.depth_ > most) {
        fail_at(of_.now().line, fmt::format("brackets or blocks are nested more than {} deep", most));
      }
    }
    ~level() { --of_.depth_; }
    level(const level&) = delete;
    level& operator=(const level&) = delete;

  private:
    parser& of_;
  };

  const token& now() const { return tokens_[at_]; }
  const token& later() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }

  token take() { return at_ + 1 < tokens_.size() ? std::move(tokens_[at_++]) : tokens_[at_]; }

  static bool is(const token& t, kind what, std::string_view words) { return t.what == what && t.words == words; }
  bool at_symbol(std::string_view words) const { return is(now(), kind::symbol, words); }
  bool at_name(std::string_view words) const { return is(now(), kind::name, words); }

  bool skip_symbol(std::string_view words) { return at_symbol(words) && (take(), true); }
  bool skip_name(std::string_view words) { return at_name(words) && (take(), true); }

  [[noreturn]] void refuse(const std::string& expected) const {
    fail_at(now().line, fmt::format("{} is expected, not {}", expected, describe(now())));
  }

  void expect_symbol(std::string_view words) {
    if (!skip_symbol(words)) {
      refuse(fmt::format("\"{}\"", words));
    }
  }

  std::string expect_name() {
    if (now().what != kind::name) {
      refuse("a name");
    }
    return take().words;
  }

  void expect_end_of_tag() {
    if (now().what != kind::block_end) {
      refuse("%}");
    }
    take();
  }

  // --- statements

  /// Up to a tag that starts with one of `ends`, whose name is then the current token; without any, to the end.
  block read_block(std::initializer_list<std::string_view> ends) {
    const level nested(*this);
    block out;
    for (;;) {
      const int64_t line = now().line;
      switch (now().what) {
      case kind::end:
        if (ends.size() > 0) {
          fail_at(line, fmt::format("{{% {} %}} is missing", *(ends.end() - 1)));
        }
        return out;
      case kind::text:
        out.push_back({literal_output{text(take().words)}, line});
        break;
      case kind::variable_begin:
        take();
        out.push_back({output{read_tuple({})}, line});
        if (now().what != kind::variable_end) {
          refuse("}}");
        }
        take();
        break;
      default:
        take();
        if (now().what == kind::name && std::find(ends.begin(), ends.end(), now().words) != ends.end()) {
          return out;
        }
        out.push_back({read_statement(), line});
        break;
      }
    }
  }

  /// A block whose end tag is the only one that may follow: read past it.
  block read_body(std::string_view end) {
    expect_end_of_tag();
    block out = read_block({end});
    take();
    expect_end_of_tag();
    return out;
  }

  decltype(statement::what) read_statement() {
    const int64_t line = now().line;
    const std::string name = expect_name();
    if (name == "if") {
      return read_if();
    }
    if (name == "for") {
      return read_for();
    }
    if (name == "set") {
      return read_set();
    }
    if (name == "macro") {
      return read_macro();
    }
    if (name == "call") {
      return read_call_block();
    }
    if (name == "filter") {
      capture_block out;
      out.filters.push_back(read_filter());
      read_more_filters(out.filters);
      out.body = read_body("endfilter");
      return out;
    }
    if (name == "with") {
      return read_with();
    }
    if (name == "generation") {
      const int loops_around = std::exchange(loops_, 0);
      generation_block out{read_body("endgeneration")};
      loops_ = loops_around;
      return out;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) {
        fail_at(line, fmt::format("{{% {} %}} stands outside of a loop", name));
      }
      expect_end_of_tag();
      return name == "break" ? jump::leave : jump::next;
    }
    fail_at(line, fmt::format("the tag {{% {} %}} is not known here (known: if, for, set, macro, call, filter, with, "
                              "generation, raw, break, continue)",
                              name));
  }

  if_block read_if() {
    if_block out;
    for (;;) {
      branch next;
      next.test = read_tuple({}, false);
      expect_end_of_tag();
      next.body = read_block({"elif", "else", "endif"});
      out.branches.push_back(std::move(next));
      const std::string end = take().words;
      if (end == "elif") {
        continue;
      }
      if (end == "else") {
        out.otherwise = read_body("endif");
      } else {
        expect_end_of_tag();
      }
      return out;
    }
  }

  for_block read_for() {
    for_block out;
    out.each = read_target();
    if (!skip_name("in")) {
      refuse("\"in\"");
    }
    out.over = read_tuple({"recursive"}, false);
    if (skip_name("if")) {
      out.test = read_expression();
    }
    if (at_name("recursive")) {
      fail_at(now().line, "recursive loops are not supported");
    }
    expect_end_of_tag();
    ++loops_;
    out.body = read_block({"else", "endfor"});
    --loops_;
    if (take().words == "else") {
      out.otherwise = read_body("endfor");
    } else {
      expect_end_of_tag();
    }
    return out;
  }

  decltype(statement::what) read_set() {
    target to = read_target();
    if (skip_symbol("=")) {
      set_value out{std::move(to), read_tuple({})};
      expect_end_of_tag();
      return out;
    }
    capture_block out;
    out.to.push_back(std::move(to));
    read_more_filters(out.filters);
    out.body = read_body("endset");
    return out;
  }

  with_block read_with() {
    with_block out;
    while (now().what != kind::block_end) {
      if (!out.values.empty()) {
        expect_symbol(",");
      }
      target to = read_target();
      expect_symbol("=");
      out.values.emplace_back(std::move(to), read_expression());
    }
    out.body = read_body("endwith");
    return out;
  }

  void read_parameters(parameter_list& out) {
    expect_symbol("(");
    while (!at_symbol(")")) {
      if (!out.names.empty()) {
        expect_symbol(",");
      }
      out.names.push_back(expect_name());
      if (skip_symbol("=")) {
        out.defaults.push_back(read_expression());
      } else if (!out.defaults.empty()) {
        fail_at(now().line, "a parameter without a default follows one with a default");
      }
    }
    expect_symbol(")");
  }

  /// The body of a macro or of a caller: loops around it are none of its own.
  std::shared_ptr<const macro_body> finish_macro(std::shared_ptr<macro_body> out, std::string_view end) {
    const int loops_around = std::exchange(loops_, 0);
    macros_.push_back(&out->uses);
    out->body = read_body(end);
    macros_.pop_back();
    loops_ = loops_around;
    return out;
  }

  macro_definition read_macro() {
    auto out = std::make_shared<macro_body>();
    out->name = expect_name();
    read_parameters(out->parameters);
    return {finish_macro(std::move(out), "endmacro")};
  }

  call_block read_call_block() {
    auto caller = std::make_shared<macro_body>();
    caller->name = "caller";
    if (at_symbol("(")) {
      read_parameters(caller->parameters);
    }
    call_block out;
    const int64_t line = now().line;
    out.called = read_expression();
    const auto* chain = std::get_if<postfix>(&out.called->what);
    if (chain == nullptr || !std::holds_alternative<call>(chain->steps.back().what)) {
      fail_at(line, "{% call %} needs a call of a macro");
    }
    out.caller = finish_macro(std::move(caller), "endcall");
    return out;
  }

  // --- targets

  target read_one_target() {
    if (skip_symbol("(")) {
      target out = read_target();
      expect_symbol(")");
      return out;
    }
    target out;
    const int64_t line = now().line;
    out.name = expect_name();
    constexpr std::array constants{"true"sv, "false"sv, "none"sv, "True"sv, "False"sv, "None"sv};
    if (std::find(constants.begin(), constants.end(), out.name) != constants.end()) {
      fail_at(line, fmt::format("\"{}\" cannot be assigned to", out.name));
    }
    if (skip_symbol(".")) {
      out.attribute = expect_name();
    }
    return out;
  }

  target read_target() {
    const level nested(*this);
    target first = read_one_target();
    if (!at_symbol(",")) {
      return first;
    }
    target out;
    out.parts.push_back(std::move(first));
    while (skip_symbol(",")) {
      if (at_name("in") || at_symbol("=") || at_symbol(")")) {
        break;
      }
      out.parts.push_back(read_one_target());
    }
    return out;
  }

  // --- expressions

  bool at_end_of_tuple(std::initializer_list<std::string_view> end_names) const {
    return now().what == kind::variable_end || now().what == kind::block_end || at_symbol(")") ||
           (now().what == kind::name && std::find(end_names.begin(), end_names.end(), now().words) != end_names.end());
  }

  /// An expression, or a tuple where commas part several.
  expression_ptr read_tuple(std::initializer_list<std::string_view> end_names, bool with_condition = true,
                            bool in_brackets = false) {
    const int64_t line = now().line;
    list_display out;
    out.is_tuple = true;
    bool has_comma = false;
    while (!at_end_of_tuple(end_names)) {
      out.items.push_back(with_condition ? read_expression() : read_simple_expression());
      if (!skip_symbol(",")) {
        break;
      }
      has_comma = true;
    }
    if (has_comma || (in_brackets && out.items.empty())) {
      return make(line, std::move(out));
    }
    if (out.items.empty()) {
      refuse("an expression");
    }
    return std::move(out.items.front());
  }

  expression_ptr read_simple_expression() {
    const level nested(*this);
    return read_or();
  }

  expression_ptr read_expression() {
    const level nested(*this);
    const int64_t line = now().line;
    expression_ptr out = read_or();
    while (skip_name("if")) {
      conditional choice;
      choice.then = std::move(out);
      choice.test = read_or();
      if (skip_name("else")) {
        choice.otherwise = read_expression();
      }
      out = make(line, std::move(choice));
    }
    return out;
  }

  template <class ReadOne> expression_ptr read_logic(std::string_view name, const ReadOne& read_one) {
    const int64_t line = now().line;
    expression_ptr first = read_one();
    if (!at_name(name)) {
      return first;
    }
    logic out;
    out.is_or = name == "or";
    out.operands.push_back(std::move(first));
    while (skip_name(name)) {
      out.operands.push_back(read_one());
    }
    return make(line, std::move(out));
  }

  expression_ptr read_or() {
    return read_logic("or", [&] { return read_logic("and", [&] { return read_not(); }); });
  }

  expression_ptr read_not() {
    const int64_t line = now().line;
    if (!skip_name("not")) {
      return read_comparison();
    }
    const level nested(*this);
    return make(line, negation{read_not()});
  }

  std::optional<relation> read_relation() {
    constexpr std::array<std::pair<std::string_view, relation>, 6> symbols{{{"==", relation::equal},
                                                                            {"!=", relation::unequal},
                                                                            {"<", relation::less},
                                                                            {"<=", relation::less_equal},
                                                                            {">", relation::greater},
                                                                            {">=", relation::greater_equal}}};
    for (const auto& [symbol, meant] : symbols) {
      if (skip_symbol(symbol)) {
        return meant;
      }
    }
    if (skip_name("in")) {
      return relation::in;
    }
    if (at_name("not") && is(later(), kind::name, "in")) {
      take();
      take();
      return relation::not_in;
    }
    return std::nullopt;
  }

  expression_ptr read_comparison() {
    const int64_t line = now().line;
    expression_ptr first = read_sum();
    comparison out;
    while (const auto how = read_relation()) {
      out.rest.emplace_back(*how, read_sum());
    }
    if (out.rest.empty()) {
      return first;
    }
    out.first = std::move(first);
    return make(line, std::move(out));
  }

  using operator_list = std::initializer_list<std::pair<std::string_view, operation>>;

  template <class ReadOne> expression_ptr read_arithmetic(operator_list known, const ReadOne& read_one) {
    const int64_t line = now().line;
    expression_ptr first = read_one();
    arithmetic out;
    for (;;) {
      const auto found = std::find_if(known.begin(), known.end(), [&](const auto& o) { return at_symbol(o.first); });
      if (found == known.end()) {
        break;
      }
      take();
      out.rest.emplace_back(found->second, read_one());
    }
    if (out.rest.empty()) {
      return first;
    }
    out.first = std::move(first);
    return make(line, std::move(out));
  }

  expression_ptr read_sum() {
    return read_arithmetic({{"+", operation::add}, {"-", operation::subtract}}, [&] { return read_concatenation(); });
  }

  expression_ptr read_concatenation() {
    const int64_t line = now().line;
    expression_ptr first = read_product();
    if (!at_symbol("~")) {
      return first;
    }
    concatenation out;
    out.operands.push_back(std::move(first));
    while (skip_symbol("~")) {
      out.operands.push_back(read_product());
    }
    return make(line, std::move(out));
  }

  expression_ptr read_product() {
    return read_arithmetic({{"*", operation::multiply},
                            {"/", operation::divide},
                            {"//", operation::divide_whole},
                            {"%", operation::modulo}},
                           [&] {
                             return read_arithmetic({{"**", operation::power}}, [&] { return read_unary(true); });
                           });
  }

  expression_ptr read_unary(bool with_filters) {
    const int64_t line = now().line;
    expression_ptr base;
    if (at_symbol("-") || at_symbol("+")) {
      const level nested(*this);
      const bool is_minus = take().words == "-";
      base = make(line, sign{is_minus, read_unary(false)});
    } else {
      base = read_primary();
    }
    return read_postfix(std::move(base), line, with_filters);
  }

  /// What follows a value; once a filter or a test was among it, attributes and items cannot follow.
  expression_ptr read_postfix(expression_ptr base, int64_t line, bool with_filters) {
    postfix out;
    bool filtered = false;
    for (;;) {
      const bool at_filter = with_filters && (at_symbol("|") || at_name("is"));
      if (!at_filter && !at_symbol("(") && (filtered || (!at_symbol(".") && !at_symbol("[")))) {
        break;
      }
      out.steps.push_back(read_step());
      filtered = filtered || at_filter;
    }
    if (out.steps.empty()) {
      return base;
    }
    out.base = std::move(base);
    return make(line, std::move(out));
  }

  expression_ptr read_primary() {
    const int64_t line = now().line;
    switch (now().what) {
    case kind::name:
      return read_name();
    case kind::string: {
      text words;
      while (now().what == kind::string) {
        words.append(take().words);
      }
      return make(line, constant{value(std::move(words))});
    }
    case kind::integer:
      return make(line, constant{take().integer});
    case kind::floating:
      return make(line, constant{take().floating});
    default:
      break;
    }
    if (skip_symbol("(")) {
      expression_ptr inside = read_tuple({}, true, true);
      expect_symbol(")");
      return inside;
    }
    if (skip_symbol("[")) {
      return make(line, read_list());
    }
    if (skip_symbol("{")) {
      return make(line, read_dict());
    }
    refuse("an expression");
  }

  expression_ptr read_name() {
    const int64_t line = now().line;
    std::string name = take().words;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      return make(line, constant{name == "true" || name == "True"});
    }
    if (name == "none" || name == "None") {
      return make(line, constant{none{}});
    }
    for (macro_uses* uses : macros_) {
      uses->varargs = uses->varargs || name == "varargs";
      uses->kwargs = uses->kwargs || name == "kwargs";
    }
    return make(line, variable{std::move(name)});
  }

  list_display read_list() {
    list_display out;
    while (!at_symbol("]")) {
      if (!out.items.empty()) {
        expect_symbol(",");
      }
      if (at_symbol("]")) {
        break;
      }
      out.items.push_back(read_expression());
    }
    expect_symbol("]");
    return out;
  }

  dict_display read_dict() {
    dict_display out;
    while (!at_symbol("}")) {
      if (!out.entries.empty()) {
        expect_symbol(",");
      }
      if (at_symbol("}")) {
        break;
      }
      expression_ptr key = read_expression();
      expect_symbol(":");
      out.entries.emplace_back(std::move(key), read_expression());
    }
    expect_symbol("}");
    return out;
  }

  // --- what follows a value

  step read_step() {
    const int64_t line = now().line;
    if (skip_symbol(".")) {
      if (now().what == kind::integer) {
        return {item{make(line, constant{take().integer})}, line};
      }
      return {attribute{expect_name()}, line};
    }
    if (skip_symbol("[")) {
      step out = read_subscript(line);
      expect_symbol("]");
      return out;
    }
    if (at_symbol("(")) {
      return {call{read_arguments()}, line};
    }
    if (skip_symbol("|")) {
      return read_filter();
    }
    take();
    return read_test();
  }

  step read_subscript(int64_t line) {
    slice out;
    if (!at_symbol(":")) {
      expression_ptr key = read_expression();
      if (!at_symbol(":")) {
        return {item{std::move(key)}, line};
      }
      out.from = std::move(key);
    }
    expect_symbol(":");
    if (!at_symbol(":") && !at_symbol("]")) {
      out.to = read_expression();
    }
    if (skip_symbol(":") && !at_symbol("]")) {
      out.step = read_expression();
    }
    return {std::move(out), line};
  }

  argument_list read_arguments() {
    argument_list out;
    expect_symbol("(");
    while (!at_symbol(")")) {
      if (skip_symbol("*")) {
        if (out.more_positional || out.more_named) {
          refuse("no second *");
        }
        out.more_positional = read_expression();
      } else if (skip_symbol("**")) {
        if (out.more_named) {
          refuse("no second **");
        }
        out.more_named = read_expression();
      } else if (now().what == kind::name && is(later(), kind::symbol, "=")) {
        std::string name = take().words;
        take();
        out.named.emplace_back(std::move(name), read_expression());
      } else {
        if (!out.named.empty() || out.more_positional || out.more_named) {
          refuse("an argument with a name");
        }
        out.positional.push_back(read_expression());
      }
      if (!skip_symbol(",")) {
        break;
      }
    }
    expect_symbol(")");
    return out;
  }

  std::string read_dotted_name() {
    std::string name = expect_name();
    while (skip_symbol(".")) {
      name += "." + expect_name();
    }
    return name;
  }

  /// From the filter's name on.
  step read_filter() {
    const int64_t line = now().line;
    filter out;
    out.name = read_dotted_name();
    require_filter(out.name, line);
    if (at_symbol("(")) {
      out.given = read_arguments();
    }
    return {std::move(out), line};
  }

  void read_more_filters(std::vector<step>& out) {
    while (skip_symbol("|")) {
      out.push_back(read_filter());
    }
  }

  /// From what follows "is" on.
  step read_test() {
    const int64_t line = now().line;
    test out;
    out.negated = skip_name("not");
    out.name = read_dotted_name();
    require_test(out.name, line);
    if (at_symbol("(")) {
      out.given = read_arguments();
    } else if (at_bare_argument()) {
      if (at_name("is")) {
        fail_at(line, "tests cannot be chained with \"is\"");
      }
      out.given.positional.push_back(read_bare_argument());
    }
    return {std::move(out), line};
  }

  bool at_bare_argument() const {
    switch (now().what) {
    case kind::name:
      return !at_name("else") && !at_name("or") && !at_name("and");
    case kind::string:
    case kind::integer:
    case kind::floating:
      return true;
    default:
      return at_symbol("[") || at_symbol("{");
    }
  }

  expression_ptr read_bare_argument() {
    const int64_t line = now().line;
    return read_postfix(read_primary(), line, false);
  }

  std::vector<token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;                    // around the current place, within its macro
  std::vector<macro_uses*> macros_;  // around the current place
};

}  // namespace

block parse(std::string_view source) { return parser(read_tokens(source)).read(); }

}  // namespace troupe::io::jinja

/// The syntax tree of a template. Chains of operators, of branches and of what follows a value are lists, so that the
/// depth of a tree is that of its brackets and blocks.
#pragma once

#include "io/jinja/value.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::io::jinja {

struct expression;
using expression_ptr = std::unique_ptr<expression>;

struct argument_list {
  std::vector<expression_ptr> positional;
  std::vector<std::pair<std::string, expression_ptr>> named;
  expression_ptr more_positional;  ///< *args
  expression_ptr more_named;       ///< **kwargs
};

enum class operation : uint8_t { add, subtract, multiply, divide, divide_whole, modulo, power };
enum class relation : uint8_t { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };

struct constant {
  value what;
};
struct variable {
  std::string name;
};
struct list_display {
  std::vector<expression_ptr> items;
  bool is_tuple = false;
};
struct dict_display {
  std::vector<std::pair<expression_ptr, expression_ptr>> entries;
};
struct negation {
  expression_ptr operand;
};
struct sign {
  bool is_minus = false;
  expression_ptr operand;
};
/// a + b - c: operators of one rank, from left to right.
struct arithmetic {
  expression_ptr first;
  std::vector<std::pair<operation, expression_ptr>> rest;
};
/// a and b and c, or with or.
struct logic {
  bool is_or = false;
  std::vector<expression_ptr> operands;
};
/// a < b <= c
struct comparison {
  expression_ptr first;
  std::vector<std::pair<relation, expression_ptr>> rest;
};
/// a ~ b ~ c
struct concatenation {
  std::vector<expression_ptr> operands;
};
/// `then` if `test` else `otherwise`, which may be missing.
struct conditional {
  expression_ptr test, then, otherwise;
};

// What may follow a value.
struct attribute {
  std::string name;
};
struct item {
  expression_ptr key;
};
struct slice {
  expression_ptr from, to, step;  ///< each may be missing
};
struct call {
  argument_list given;
};
struct filter {
  std::string name;
  argument_list given;
};
struct test {
  std::string name;
  argument_list given;
  bool negated = false;
};
struct step {
  std::variant<attribute, item, slice, call, filter, test> what;
  int64_t line = 1;
};
/// base.name[key](arguments) | filter is test
struct postfix {
  expression_ptr base;
  std::vector<step> steps;
};

struct expression {
  std::variant<constant, variable, list_display, dict_display, negation, sign, arithmetic, logic, comparison,
               concatenation, conditional, postfix>
      what;
  int64_t line = 1;
};

/// What an assignment writes to: a name, a namespace's attribute, or several of them.
struct target {
  std::string name;
  std::string attribute;      ///< of the namespace `name`; empty: the name itself
  std::vector<target> parts;  ///< of a tuple
};

struct statement;
using block = std::vector<statement>;

struct parameter_list {
  std::vector<std::string> names;
  std::vector<expression_ptr> defaults;  ///< of the last of them
};

/// Which names of their own a macro's body uses: others are not filled.
struct macro_uses {
  bool varargs = false, kwargs = false;
};

struct macro_body;  // parameters and statements; shared with the macros that a run makes

struct literal_output {
  text words;
};
struct output {
  expression_ptr what;
};
struct branch {
  expression_ptr test;
  block body;
};
struct if_block {
  std::vector<branch> branches;
  block otherwise;
};
struct for_block {
  target each;
  expression_ptr over, test;  ///< test may be missing
  block body, otherwise;
};
struct set_value {
  target to;
  expression_ptr what;
};
/// {% set x | filter %}...{% endset %}; {% filter f %}...{% endfilter %} has no target and is written out.
struct capture_block {
  std::vector<target> to;  ///< one or none
  std::vector<step> filters;
  block body;
};
struct macro_definition {
  std::shared_ptr<const macro_body> what;
};
struct call_block {
  std::shared_ptr<const macro_body> caller;
  expression_ptr called;  ///< a postfix whose last step is a call
};
struct with_block {
  std::vector<std::pair<target, expression_ptr>> values;
  block body;
};
struct generation_block {
  block body;
};
enum class jump : uint8_t { none, leave, next };  ///< break, continue

struct statement {
  std::variant<literal_output, output, if_block, for_block, set_value, capture_block, macro_definition, call_block,
               with_block, generation_block, jump>
      what;
  int64_t line = 1;
};

struct macro_body {
  std::string name;
  parameter_list parameters;
  block body;
  macro_uses uses;
};

}  // namespace troupe::io::jinja

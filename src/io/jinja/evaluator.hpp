/// Runs a syntax tree.
#pragma once

#include "io/jinja/functions.hpp"
#include "io/jinja/machine.hpp"
#include "io/jinja/syntax.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io::jinja {

using variables = std::vector<std::pair<std::string, value>>;

/// The names of a block, and the block around it.
struct scope {
  std::shared_ptr<scope> around;
  variables names;

  const value* find(std::string_view name) const;
  void set(std::string_view name, value what);
};

/// One run of a template.
class evaluator final : public machine {
public:
  evaluator(variables given, std::string date);
  ~evaluator();
  evaluator(const evaluator&) = delete;
  evaluator& operator=(const evaluator&) = delete;

  /// What the template writes.
  /// Errors  bad_argument: see line().
  text run(const block& whole);

  /// Where the evaluation is: after an error, where that was.
  int64_t line() const { return line_; }

private:
  class macro;
  class loop;
  class nested;

  value evaluate(const expression& what);
  value evaluate_or_nothing(const expression_ptr& what);
  value evaluate(const constant& what) { return what.what; }
  value evaluate(const variable& what);
  value evaluate(const list_display& what);
  value evaluate(const dict_display& what);
  value evaluate(const negation& what);
  value evaluate(const sign& what);
  value evaluate(const arithmetic& what);
  value evaluate(const logic& what);
  value evaluate(const comparison& what);
  value evaluate(const concatenation& what);
  value evaluate(const conditional& what);
  value evaluate(const postfix& what);

  arguments gather(const argument_list& given);
  value follow(const value& base, const step& next);
  value follow(const value& base, const attribute& what);
  value follow(const value& base, const item& what);
  value follow(const value& base, const slice& what);
  value follow(const value& base, const call& what);
  value follow(const value& base, const filter& what);
  value follow(const value& base, const test& what);

  jump run_block(const block& body);
  jump run_scoped(const block& body);
  jump run(const literal_output& what);
  jump run(const output& what);
  jump run(const if_block& what);
  jump run(const for_block& what);
  jump run(const set_value& what);
  jump run(const capture_block& what);
  jump run(const macro_definition& what);
  jump run(const call_block& what);
  jump run(const with_block& what);
  jump run(const generation_block& what);
  jump run(const jump& what) { return what; }

  void write(const text& words);
  void assign(const target& to, value what);
  std::vector<value> loop_items(const for_block& what);
  value make_macro(std::shared_ptr<const macro_body> what);
  value make_namespace(arguments given);
  value call_macro(const macro& called, arguments given);
  void bind_parameters(const macro_body& what, arguments given);

  std::shared_ptr<scope> scope_;
  text* out_ = nullptr;
  int64_t line_ = 1;
  int depth_ = 0;        // of nested evaluations
  int macro_depth_ = 0;  // of macros that call macros
  int loop_depth_ = 0;
  // Namespaces, and scopes that macros hold, may hold each other: emptied at the end.
  std::vector<std::shared_ptr<name_space>> namespaces_;
  std::vector<std::shared_ptr<scope>> held_scopes_;
};

}  // namespace troupe::io::jinja

#include "engine/generate/generator.hpp"

#include "base/error.hpp"
#include "engine/generate/run_ahead.hpp"
#include "engine/generate/sequence.hpp"
#include "engine/generate/token_sampler.hpp"
#include "engine/models/page_tables.hpp"
#include "engine/models/workspace.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace troupe::engine {

namespace {

using sequence_ptr = std::unique_ptr<sequence>;

bool by_turn(const sequence_ptr& a, const sequence_ptr& b) { return a->turn < b->turn; }

/// Into its place in the order of turns.
void insert(std::vector<sequence_ptr>& among, sequence_ptr s) {
  const auto place = std::lower_bound(among.begin(), among.end(), s, by_turn);
  among.insert(place, std::move(s));
}

void check_prompt(const model_description& model, const std::vector<int32_t>& prompt) {
  if (prompt.empty()) {
    throw error(errc::bad_argument, "the prompt is empty: the model needs at least one token to go on from (a BOS "
                                    "token will do)");
  }
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < 0 || prompt[i] >= model.vocabulary) {
      throw error(errc::bad_argument,
                  "token {} of the prompt is {}, outside of the model's vocabulary of {}: is this "
                  "its tokenizer?",
                  i, prompt[i], model.vocabulary);
    }
  }
  if (static_cast<int64_t>(prompt.size()) >= model.max_positions) {
    throw error(errc::bad_argument,
                "the prompt has {} tokens, but the model has {} positions: shorten it to at most "
                "{}",
                prompt.size(), model.max_positions, model.max_positions - 1);
  }
}

}  // namespace

struct generator::state {
  const inference_model& net;
  const_reals weights;
  generator_settings settings;
  kv_cache cache;
  generator_counters counters;
  token_sampler sampler;

  int64_t turns = 0;
  std::set<uint64_t> unfinished;      ///< ids
  std::vector<sequence_ptr> running;  ///< by turn
  std::deque<sequence_ptr> waiting;   ///< by turn; every one after all that run
  std::map<uint64_t, generated_sequence> finished;

  // One step's model call.
  std::vector<int32_t> token_N;
  page_tables call;
  std::vector<sampling_row> sampling;
  buffer hidden_ND;

  std::optional<run_ahead> ahead;  ///< nothing: each step is called by itself

  state(const inference_model& net, const_reals weights, const generator_settings& settings, device* on)
      : net(net), weights(weights), settings(settings),
        cache(net.description(), settings.cache_pages, on, on == nullptr ? dtype::f32 : weights.type()) {
    if (on != nullptr && settings.steps_ahead > 0 && !net.needs_host()) {
      ahead.emplace(net, weights, cache, *on, settings.steps_ahead);
    }
  }

  void check_request(const generation_request& request) const;
  sequence_ptr make_sequence(const std::shared_ptr<const generation_request>& request, uint64_t id);

  void give_way();
  int64_t plan(sequence& s, int64_t budget);
  int64_t plan_running(int64_t budget, bool decodes);
  bool has_room_for(const sequence& next) const;
  void admit(int64_t budget);
  std::vector<sequence*> planned() const;
  void gather();
  void run(context& ctx);
  void count_step();
  void count_rows(sequence& s, int64_t rows);
  bool take_drawn(sequence& s);
  void advance(const std::vector<sequence*>& computed);
  bool others_wait() const;
  void go_on(context& ctx);
  void start_followers(sequence& leader);
  bool accept(sequence& s);
  void finish(sequence& s, finish_reason reason);
};

void generator::state::check_request(const generation_request& request) const {
  check_prompt(net.description(), request.prompt);
  kernels::check_sampling(request.sampling);
  if (request.max_new_tokens < 1) {
    throw error(errc::bad_argument, "{} new tokens were asked for: ask for at least 1", request.max_new_tokens);
  }
  const std::set<uint64_t> ids(request.sequence_ids.begin(), request.sequence_ids.end());
  if (ids.empty() || ids.size() != request.sequence_ids.size()) {
    throw error(errc::bad_argument,
                "the request has {} sequence ids, {} of them different: it needs one for each "
                "sample",
                request.sequence_ids.size(), ids.size());
  }
  for (const uint64_t id : ids) {
    if (unfinished.count(id) != 0 || finished.count(id) != 0) {
      throw error(errc::bad_argument, "sequence id {} is already in use", id);
    }
  }
}

sequence_ptr generator::state::make_sequence(const std::shared_ptr<const generation_request>& request, uint64_t id) {
  auto s = std::make_unique<sequence>();
  s->request = request;
  s->id = id;
  s->turn = turns++;
  s->tokens = request->prompt;
  const auto prompt = static_cast<int64_t>(request->prompt.size());
  s->limit = prompt + std::min(request->max_new_tokens, net.description().max_positions - prompt);
  return s;
}

/// The last one in turn gives its pages back and waits.
void generator::state::give_way() {
  sequence_ptr last = std::move(running.back());
  running.pop_back();
  release_pages(cache, *last);
  ++counters.preemptions;
  waiting.push_front(std::move(last));
}

/// Gives the sequence rows of this step, at most `budget`; those after it give way if pages are
/// short. Returns the rows. Where it has to give way itself, it is gone.
int64_t generator::state::plan(sequence& s, int64_t budget) {
  const int64_t rows = std::min(s.pending(), budget);
  while (!reserve_pages(cache, s, rows)) {
    const bool itself = running.back().get() == &s;
    give_way();
    if (itself) {
      return 0;
    }
  }
  s.rows = rows;
  return rows;
}

/// One token each for those that decode, or what is left of the budget for those that read their
/// prompt.
int64_t generator::state::plan_running(int64_t budget, bool decodes) {
  for (size_t i = 0; i < running.size() && budget > 0; ++i) {
    if ((running[i]->pending() == 1) == decodes) {
      budget -= plan(*running[i], budget);
    }
  }
  return budget;
}

/// For all of it and for each sample's first page; else it would soon give way again.
bool generator::state::has_room_for(const sequence& next) const {
  const int64_t needed = kv_cache::pages_for(next.length()) + 1 + static_cast<int64_t>(next.followers.size());
  return running.empty() || cache.free_pages() >= needed;
}

void generator::state::admit(int64_t budget) {
  while (budget > 0 && !waiting.empty() && has_room_for(*waiting.front())) {
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
    budget -= plan(*running.back(), budget);
  }
}

/// Those that this step computes rows of.
std::vector<sequence*> generator::state::planned() const {
  std::vector<sequence*> all;
  for (const sequence_ptr& s : running) {
    if (s->rows > 0) {
      all.push_back(s.get());
    }
  }
  return all;
}

/// Packs the planned rows into one call.
void generator::state::gather() {
  token_N.clear();
  call.clear();
  sampling.clear();
  for (sequence* s : planned()) {
    const auto first = s->tokens.begin() + s->cached;
    token_N.insert(token_N.end(), first, first + s->rows);
    call.add(s->pages, s->rows, s->cached);
    if (s->rows == s->pending()) {
      sampling.push_back({call.rows() - 1, {s}});
      for (const sequence_ptr& follower : s->followers) {
        sampling.back().drawers.push_back(follower.get());
      }
    }
  }
}

void generator::state::run(context& ctx) {
  hidden_ND.room(ctx, activation_type(ctx, weights), call.rows() * net.description().embedding_width);
  net.extend(ctx, weights, {token_N, call.map(), cache.layers()}, hidden_ND.data());
  sampler.sample(ctx, net, weights, hidden_ND.data(), sampling);
  count_step();
}

void generator::state::count_step() {
  ++counters.steps;
  counters.peak_pages = std::max(counters.peak_pages, cache.pages() - cache.free_pages());
}

void generator::state::finish(sequence& s, finish_reason reason) {
  const auto answer = s.answer();
  finished[s.id] = {s.id, {answer.begin(), answer.end()}, std::move(s.logprobs), reason};
  unfinished.erase(s.id);
  release_pages(cache, s);
}

/// Appends what was drawn. True where that ends the answer. Where the stop check throws, the sequence is as before.
bool generator::state::accept(sequence& s) {
  s.tokens.push_back(s.drawn.token);
  const auto& stops = s.request->stop_tokens;
  bool stop = std::find(stops.begin(), stops.end(), s.drawn.token) != stops.end();
  if (s.request->stop) {
    try {
      stop = s.request->stop(s.answer()) || stop;  // it is called for every token: it may stream them
    } catch (...) {
      s.tokens.pop_back();
      throw;
    }
  }
  s.logprobs.push_back(s.drawn.logprob);
  ++counters.answer_tokens;
  if (stop || s.length() >= s.limit) {
    finish(s, stop ? finish_reason::stop : finish_reason::length);
    return true;
  }
  return false;
}

/// The prompt is computed: its other samples run on their own from here. Where a stop check throws, those that have not
/// started still follow.
void generator::state::start_followers(sequence& leader) {
  while (!leader.followers.empty()) {
    sequence& next = *leader.followers.front();
    share_pages(cache, leader, next);
    bool ended = false;
    try {
      ended = accept(next);
    } catch (...) {
      release_pages(cache, next);
      throw;
    }
    if (!ended) {
      insert(running, std::move(leader.followers.front()));
    }
    leader.followers.erase(leader.followers.begin());
  }
}

/// Rows of the sequence have been computed.
void generator::state::count_rows(sequence& s, int64_t rows) {
  const int64_t repeated = std::clamp<int64_t>(s.computed - s.cached, 0, rows);
  const int64_t prompt = static_cast<int64_t>(s.request->prompt.size()) - s.cached;
  counters.recomputed_tokens += repeated;
  counters.prompt_tokens += std::max<int64_t>(0, std::min(rows, prompt) - repeated);
  s.cached += rows;
  s.computed = std::max(s.computed, s.cached);
}

/// Its rows have been computed. True where its answer ends.
bool generator::state::take_drawn(sequence& s) {
  count_rows(s, std::exchange(s.rows, 0));
  if (s.pending() > 0) {
    return false;
  }
  try {
    start_followers(s);
    return accept(s);
  } catch (...) {
    --s.cached;  // the next step computes its last row again, and draws from it again
    throw;
  }
}

/// Where a stop check throws, what was drawn of that sequence and of those behind it is forgotten, and later drawn
/// again.
void generator::state::advance(const std::vector<sequence*>& computed) {
  std::set<const sequence*> ended;
  const auto leave = [&] { std::erase_if(running, [&](const sequence_ptr& s) { return ended.count(s.get()) != 0; }); };
  try {
    for (sequence* s : computed) {
      if (take_drawn(*s)) {
        ended.insert(s);
        if (ahead) {
          ahead->forget(*s);
        }
      }
    }
  } catch (...) {
    leave();
    throw;
  }
  leave();
}

/// Whether a step could have rows of sequences that are not under way.
bool generator::state::others_wait() const {
  if (ahead->rows() >= settings.step_tokens) {
    return false;
  }
  return (!waiting.empty() && has_room_for(*waiting.front())) ||
         std::any_of(running.begin(), running.end(), [](const sequence_ptr& s) { return s->ahead == 0; });
}

/// Calls as many steps as may be under way, and takes the oldest one's tokens.
void generator::state::go_on(context& ctx) {
  try {
    while (!others_wait() && ahead->follow(ctx)) {
      count_step();
    }
    const std::vector<sequence*> computed = ahead->take();
    for (sequence* s : computed) {
      s->rows = 1;
    }
    advance(computed);
  } catch (...) {
    ahead->drop();  // it was called for tokens that have not been taken
    throw;
  }
}

generator::generator(const inference_model& net, const_reals weights, const generator_settings& settings, device* on) {
  if (net.description().scalar_head) {
    throw error(errc::bad_argument, "a model with a scalar head (a reward model or critic) does not generate");
  }
  if (settings.step_tokens < 1) {
    throw error(errc::bad_argument, "{} tokens per step: at least 1", settings.step_tokens);
  }
  if (settings.steps_ahead < 0) {
    throw error(errc::bad_argument, "{} steps ahead: at least 0", settings.steps_ahead);
  }
  state_ = std::make_unique<state>(net, weights, settings, on);
}

generator::~generator() = default;

void generator::submit(generation_request request) {
  state& g = *state_;
  g.check_request(request);
  const auto shared = std::make_shared<const generation_request>(std::move(request));
  sequence_ptr leader = g.make_sequence(shared, shared->sequence_ids.front());
  const int64_t needed = kv_cache::pages_for(leader->limit);
  if (needed > g.cache.pages()) {
    throw error(errc::bad_argument,
                "a sequence of up to {} tokens needs {} pages of the key/value cache, which has "
                "{}: raise the cache's budget (generation.cache-mib of a job) or ask for fewer tokens",
                leader->limit, needed, g.cache.pages());
  }
  for (size_t i = 1; i < shared->sequence_ids.size(); ++i) {
    leader->followers.push_back(g.make_sequence(shared, shared->sequence_ids[i]));
  }
  g.unfinished.insert(shared->sequence_ids.begin(), shared->sequence_ids.end());
  g.waiting.push_back(std::move(leader));
}

void generator::step(context& ctx) {
  state& g = *state_;
  if (g.ahead && g.ahead->under_way()) {
    return g.go_on(ctx);
  }
  for (const sequence_ptr& s : g.running) {
    s->rows = 0;  // a step that threw may have left its plan
  }
  int64_t budget = g.settings.step_tokens;
  budget = g.plan_running(budget, true);
  budget = g.plan_running(budget, false);
  g.admit(budget);
  if (g.ahead && run_ahead::takes(g.planned())) {
    g.ahead->begin(ctx, g.planned());
    g.count_step();
    return g.go_on(ctx);
  }
  g.gather();
  if (g.call.rows() > 0) {
    g.run(ctx);
    g.advance(g.planned());  // listed before: positions in `running` shift as followers enter
  }
}

bool generator::idle() const { return state_->unfinished.empty(); }

int64_t generator::unfinished() const { return static_cast<int64_t>(state_->unfinished.size()); }

std::vector<generated_sequence> generator::take_finished() {
  std::vector<generated_sequence> taken;
  for (auto& [id, done] : state_->finished) {
    taken.push_back(std::move(done));
  }
  state_->finished.clear();
  return taken;
}

/// Whether nothing of its request has been computed: it leads all the samples, and never ran.
static bool is_new(const sequence& s) {
  return s.computed == 0 && s.followers.size() + 1 == s.request->sequence_ids.size();
}

std::vector<uint64_t> generator::not_begun() const {
  std::vector<uint64_t> ids;
  for (const sequence_ptr& s : state_->waiting) {
    if (is_new(*s)) {
      ids.push_back(s->id);
    }
  }
  return ids;
}

void generator::withdraw(uint64_t first_sequence_id) {
  state& g = *state_;
  const auto found = std::find_if(g.waiting.begin(), g.waiting.end(),
                                  [&](const sequence_ptr& s) { return s->id == first_sequence_id && is_new(*s); });
  if (found == g.waiting.end()) {
    throw error(errc::bad_argument, "sequence {} cannot be withdrawn: it is unknown, or has been begun",
                first_sequence_id);
  }
  for (const uint64_t id : (*found)->request->sequence_ids) {
    g.unfinished.erase(id);
  }
  g.waiting.erase(found);
}

void generator::cancel() {
  state& g = *state_;
  if (g.ahead) {
    g.ahead->drop();
  }
  for (const sequence_ptr& s : g.running) {
    release_pages(g.cache, *s);
  }
  g.running.clear();
  g.waiting.clear();
  g.unfinished.clear();
}

void generator::release_memory() { state_->cache.release_memory(); }

generator_counters generator::counters() const {
  generator_counters all = state_->counters;
  if (state_->ahead) {
    all.recordings = state_->ahead->decoder().recordings();
    all.replays = state_->ahead->decoder().replays();
    all.dropped_tokens = state_->ahead->dropped_tokens();
  }
  return all;
}

std::vector<generated_sequence> generate_all(context& ctx, generator& from, std::vector<generation_request> requests) {
  for (generation_request& request : requests) {
    from.submit(std::move(request));
  }
  while (!from.idle()) {
    from.step(ctx);
  }
  return from.take_finished();
}

}  // namespace troupe::engine

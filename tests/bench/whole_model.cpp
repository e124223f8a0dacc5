// Whole-model measurements, one per process, one JSON line out, so that the peak memory belongs to that measurement:
//
//   whole_model MODEL WHAT [--threads 2] [--batch 4] [--len 512] [--new 128] [--repeats 3] [--bf16 0]
//
//   train     forward, backward, AdamW on the loss of every token
//   score     log-probability of every token
//   gen       greedy generation of --new tokens after --len, ends ignored
//   ppo       one PPO iteration in DeepSpeed-Chat's shape: --batch prompts of --len tokens, --new sampled; four models
//   types     gen with weights in float32 and in bfloat16 in turn, both in memory
//
// --bf16 1: the others with weights in bfloat16; what learns has float32 masters.
//
// It does what the PyTorch programs do that docs/performance.md compares it with. GFLOP/s count 2 per weight and token
// forward and 6 in training, attention and head included by the model's parameter count alone.
#include "actors/models/model_files.hpp"
#include "base/random.hpp"
#include "base/thread_pool.hpp"
#include "engine/generate/generator.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/experience.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace troupe;  // NOLINT(google-build-using-namespace)
namespace eng = troupe::engine;

struct setting {
  std::string model, what;
  std::map<std::string, int64_t> numbers = {{"threads", 2}, {"batch", 4},   {"len", 512},
                                            {"new", 128},   {"repeats", 3}, {"bf16", 0}};
  int64_t operator[](const char* name) const { return numbers.at(name); }
  actors::model_loading loading(bool learns) const {
    return {.type = (*this)["bf16"] != 0 ? dtype::bf16 : dtype::f32, .learns = learns};
  }
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median_of(int64_t repeats, const std::function<void()>& work) {
  std::vector<double> times;
  for (int64_t i = 0; i < repeats; ++i) {
    times.push_back(seconds_of(work));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint64_t stream) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    const double u =
        random_uniform({.seed = 1, .stream = stream, .purpose = random_purpose::test}, static_cast<uint64_t>(i));
    tokens.push_back(static_cast<int32_t>(10 + u * static_cast<double>(vocabulary - 10)));
  }
  return tokens;
}

eng::packed_batch random_batch(const setting& s, int64_t vocabulary) {
  eng::packed_batch batch;
  for (int64_t b = 0; b < s["batch"]; ++b) {
    batch.add(random_tokens(s["len"], vocabulary, static_cast<uint64_t>(b)), 1);
  }
  return batch;
}

double train_seconds(const setting& s, context& ctx, actors::model& m) {
  eng::learner learner(m.net.layout(), {});
  eng::train_workspace work;
  const eng::packed_batch batch = random_batch(s, m.net.description().vocabulary);
  const eng::lm_scale scale{.tokens = static_cast<double>(batch.tokens() - batch.sequences())};
  const auto step = [&] {
    eng::sft_micro_batch(ctx, {m.net, m.weights.data(), learner.gradients(ctx, 0), work}, batch, scale);
    learner.update(ctx, m.learned().data(), 1e-5, m.rounded());
  };
  step();
  return median_of(s["repeats"], step);
}

double score_seconds(const setting& s, context& ctx, const actors::model& m) {
  const eng::packed_batch batch = random_batch(s, m.net.description().vocabulary);
  const auto score = [&] { eng::answer_log_probs(ctx, m.net, m.weights.data(), batch, 1); };
  score();
  return median_of(s["repeats"], score);
}

std::vector<eng::generated_sequence> generate(const setting& s, context& ctx, const actors::model& m,
                                              float temperature) {
  const int64_t pages = s["batch"] * (eng::kv_cache::pages_for(s["len"] + s["new"]) + 1);
  eng::generator generator(m.net, m.weights.data(), {.cache_pages = pages, .step_tokens = 512});
  std::vector<eng::generation_request> requests;
  for (int64_t b = 0; b < s["batch"]; ++b) {
    eng::generation_request request;
    request.sequence_ids = {static_cast<uint64_t>(b)};
    request.prompt = random_tokens(s["len"], m.net.description().vocabulary, static_cast<uint64_t>(b));
    request.max_new_tokens = s["new"];
    request.sampling.temperature = temperature;
    requests.push_back(std::move(request));
  }
  return eng::generate_all(ctx, generator, std::move(requests));
}

/// Seconds of each part of an iteration.
std::map<std::string, double> ppo_parts(const setting& s, context& ctx) {
  const auto policy = actors::load_model(s.model, actors::head_kind::language_model, s.loading(true));
  const auto reference = actors::load_model(s.model, actors::head_kind::language_model, s.loading(false));
  const auto critic = actors::load_model(s.model, actors::head_kind::scalar, s.loading(true));
  const auto reward = actors::load_model(s.model, actors::head_kind::scalar, s.loading(false));
  eng::learner policy_learner(policy->net.layout(), {});
  eng::learner critic_learner(critic->net.layout(), {});
  eng::train_workspace work;  // policy and critic take turns
  std::map<std::string, double> parts;
  for (int64_t iteration = 0; iteration < s["repeats"]; ++iteration) {
    std::vector<eng::generated_sequence> answers;
    eng::packed_batch batch;
    eng::rollout_arrays rollout;
    eng::moments seen;
    parts["generate"] = seconds_of([&] { answers = generate(s, ctx, *policy, 1.0F); });
    for (int64_t b = 0; b < s["batch"]; ++b) {
      const auto& answer = answers[static_cast<size_t>(b)];
      auto tokens = random_tokens(s["len"], policy->net.description().vocabulary, static_cast<uint64_t>(b));
      tokens.insert(tokens.end(), answer.ids.begin(), answer.ids.end());
      batch.add(tokens, s["len"]);
      rollout.logprob_old_A.insert(rollout.logprob_old_A.end(), answer.logprobs.begin(), answer.logprobs.end());
      rollout.answer_offset_B1.push_back(static_cast<int64_t>(rollout.logprob_old_A.size()));
      rollout.finished_B.push_back(1);
    }
    parts["score"] = seconds_of([&] {
      rollout.logprob_ref_A = eng::answer_log_probs(ctx, reference->net, reference->weights.data(), batch, 1);
      rollout.score_B = eng::end_scores(ctx, reward->net, reward->weights.data(), batch);
      rollout.value_A = eng::answer_values(ctx, critic->net, critic->weights.data(), batch);
    });
    eng::finish_experience({}, seen, rollout);
    const auto weight_A = eng::answer_weights(eng::loss_mean::token, eng::count_answers(rollout.answer_offset_B1),
                                              rollout.answer_offset_B1);
    // Micro-batches of 2048 tokens, as a job's defaults.
    const int64_t sequences = std::max<int64_t>(1, 2048 / (s["len"] + s["new"]));
    const auto each = [&](const std::function<void(const eng::packed_batch&, size_t, size_t)>& body) {
      for (int64_t first = 0; first < s["batch"]; first += sequences) {
        const int64_t last = std::min(first + sequences, s["batch"]);
        eng::packed_batch part;
        for (int64_t b = first; b < last; ++b) {
          const auto from = static_cast<size_t>(batch.offset_B1[static_cast<size_t>(b)]);
          const auto to = static_cast<size_t>(batch.offset_B1[static_cast<size_t>(b + 1)]);
          part.add(std::span(batch.token_N).subspan(from, to - from), s["len"]);
        }
        const auto a = static_cast<size_t>(rollout.answer_offset_B1[static_cast<size_t>(first)]);
        body(part, a, static_cast<size_t>(rollout.answer_offset_B1[static_cast<size_t>(last)]) - a);
      }
    };
    parts["policy"] = seconds_of([&] {
      each([&](const eng::packed_batch& part, size_t a, size_t n) {
        const auto cut = [&](const std::vector<float>& v) { return std::span(v).subspan(a, n); };
        eng::policy_micro_batch(ctx, {policy->net, policy->weights.data(), policy_learner.gradients(ctx, 0), work},
                                part, {},
                                {cut(rollout.logprob_old_A), cut(rollout.logprob_ref_A),
                                 cut(rollout.learned_advantage_A), std::span(weight_A).subspan(a, n)});
      });
      policy_learner.update(ctx, policy->learned().data(), 1e-6, policy->rounded());
    });
    parts["critic"] = seconds_of([&] {
      each([&](const eng::packed_batch& part, size_t a, size_t n) {
        const auto cut = [&](const std::vector<float>& v) { return std::span(v).subspan(a, n); };
        eng::critic_micro_batch(ctx, {critic->net, critic->weights.data(), critic_learner.gradients(ctx, 0), work},
                                part, {},
                                {cut(rollout.value_A), cut(rollout.return_A), std::span(weight_A).subspan(a, n)});
      });
      critic_learner.update(ctx, critic->learned().data(), 1e-6, critic->rounded());
    });
  }
  return parts;
}

/// Generation in both types by turns, so that what else the machine does hits both alike.
void compare_types(const setting& s, context& ctx) {
  const auto wide = actors::load_model(s.model, actors::head_kind::language_model);
  const auto narrow = actors::load_model(s.model, actors::head_kind::language_model, {.type = dtype::bf16});
  const auto tokens = static_cast<double>(s["batch"] * s["new"]);
  std::vector<double> ratios;
  for (int64_t i = 0; i <= s["repeats"]; ++i) {
    const double in_f32 = seconds_of([&] { generate(s, ctx, *wide, 0); });
    const double in_bf16 = seconds_of([&] { generate(s, ctx, *narrow, 0); });
    if (i > 0) {
      fmt::print("f32 {:.1f} tok/s, bf16 {:.1f} tok/s, {:.2f} times\n", tokens / in_f32, tokens / in_bf16,
                 in_f32 / in_bf16);
      ratios.push_back(in_f32 / in_bf16);
    }
  }
  std::sort(ratios.begin(), ratios.end());
  fmt::print("median of {} pairs: {:.2f} times\n", ratios.size(), ratios[ratios.size() / 2]);
}

double peak_mb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void print(const setting& s, double seconds, double tokens, const std::string& more) {
  fmt::print("{{\"what\": \"{}\", \"threads\": {}, \"batch\": {}, \"len\": {}, \"new\": {}, \"seconds\": {:.4f}, "
             "\"tokens_per_s\": {:.1f}, \"peak_rss_mb\": {:.0f}{}}}\n",
             s.what, s["threads"], s["batch"], s["len"], s["new"], seconds, tokens / seconds, peak_mb(), more);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr,
               "usage: whole_model MODEL train|score|gen|ppo|types [--threads N] [--batch N] [--len N] [--new N] "
               "[--repeats N] [--bf16 0|1]\n");
    return 2;
  }
  setting s{.model = argv[1], .what = argv[2]};
  for (int i = 3; i + 1 < argc; i += 2) {
    s.numbers.at(std::string(argv[i]).substr(2)) = std::stoll(argv[i + 1]);
  }
  thread_pool pool(static_cast<int>(s["threads"]));
  context ctx{pool};
  const double tokens = static_cast<double>(s["batch"] * s["len"]);
  if (s.what == "ppo") {
    const auto parts = ppo_parts(s, ctx);
    double total = 0;
    std::string more;
    for (const auto& [name, seconds] : parts) {
      total += seconds;
      more += fmt::format(", \"{}_s\": {:.3f}", name, seconds);
    }
    print(s, total, static_cast<double>(s["batch"] * (s["len"] + s["new"])), more);
    return 0;
  }
  if (s.what == "types") {
    compare_types(s, ctx);
    return 0;
  }
  const auto m = actors::load_model(s.model, actors::head_kind::language_model, s.loading(s.what == "train"));
  if (s.what == "train") {
    print(s, train_seconds(s, ctx, *m), tokens, "");
  } else if (s.what == "score") {
    print(s, score_seconds(s, ctx, *m), tokens, "");
  } else {
    generate(s, ctx, *m, 0);
    print(s, median_of(s["repeats"], [&] { generate(s, ctx, *m, 0); }), static_cast<double>(s["batch"] * s["new"]), "");
  }
}

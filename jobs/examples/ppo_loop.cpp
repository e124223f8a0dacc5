// DeepSpeed-Chat's own loop, generate experience and train on it, against the engine alone: no actors, no job file.
// For those who want an algorithm of their own.
//
//   ppo_loop MODEL LEXICON [ITERATIONS]      for example tests/data/stories260k tests/data/vader/vader_lexicon.txt
#include "base/thread_pool.hpp"
#include "engine/generate/generator.hpp"
#include "engine/models/weights.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/experience.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/weights/model_folder.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

using namespace troupe;  // NOLINT(google-build-using-namespace): an example, to be read
namespace eng = troupe::engine;

struct model {
  eng::transformer net;
  aligned_buffer<float> weights{net.layout().arena_size()};
};

static model load(const io::model_folder& folder, bool scalar_head) {
  eng::model_description description = eng::describe(folder.config());
  description.scalar_head = scalar_head;
  model m{eng::transformer(description)};
  eng::load_weights(m.net, folder.tensor_names(), folder.finder(), m.weights.data(), scalar_head);
  return m;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: ppo_loop MODEL LEXICON [ITERATIONS]\n");
    return 2;
  }
  const int iterations = argc > 3 ? std::atoi(argv[3]) : 20;
  thread_pool pool;
  context ctx{pool};
  const auto folder = io::model_folder::open(argv[1]);
  const auto tokens = io::load_tokenizer(argv[1]);
  const io::lexicon words = io::lexicon::load(argv[2]);
  model policy = load(folder, false);
  const model reference = load(folder, false);
  model critic = load(folder, true);  // the policy's trunk under a new head
  eng::learner policy_learner(policy.net.layout(), {}), critic_learner(critic.net.layout(), {});
  eng::train_workspace policy_work, critic_work;
  const std::vector<int32_t> prompt = tokens->encode("Once upon a time, there was a little dog named Max.", true);
  eng::moments seen;

  for (int iteration = 0; iteration < iterations; ++iteration) {
    // Generate experience.
    eng::generator generator(policy.net, policy.weights.data(), {.cache_pages = 256});
    eng::generation_request request{.prompt = prompt, .max_new_tokens = 64, .seed = 1};
    for (uint64_t sample = 0; sample < 64; ++sample) {
      request.sequence_ids.push_back(static_cast<uint64_t>(iteration) << 32 | sample);
    }
    eng::packed_batch batch;
    eng::rollout_arrays rollout;
    for (const eng::generated_sequence& answer : eng::generate_all(ctx, generator, {request})) {
      batch.add(prompt, answer.ids);
      rollout.logprob_old_A.insert(rollout.logprob_old_A.end(), answer.logprobs.begin(), answer.logprobs.end());
      rollout.answer_offset_B1.push_back(static_cast<int64_t>(rollout.logprob_old_A.size()));
      rollout.finished_B.push_back(answer.finish == eng::finish_reason::stop);
      rollout.score_B.push_back(static_cast<float>(words.score(tokens->decode(answer.ids, true)).per_hundred_words));
    }
    rollout.logprob_ref_A = eng::answer_log_probs(ctx, reference.net, reference.weights.data(), batch, 1);
    rollout.value_A = eng::answer_values(ctx, critic.net, critic.weights.data(), batch);
    const eng::experience_settings settings{.scaling = {.kind = eng::reward_scaling::running},
                                            .shaping = {.kl_coefficient = 0.05}};
    auto statistics = eng::finish_experience(settings, seen, rollout);

    // Train on it.
    const auto weight_A = eng::answer_weights(eng::loss_mean::token, eng::count_answers(rollout.answer_offset_B1),
                                              rollout.answer_offset_B1);
    eng::policy_micro_batch(ctx, {policy.net, policy.weights.data(), policy_learner.gradients(ctx, 0), policy_work},
                            batch, {},
                            {rollout.logprob_old_A, rollout.logprob_ref_A, rollout.learned_advantage_A, weight_A});
    policy_learner.update(ctx, policy.weights.data(), 3e-4);
    eng::critic_micro_batch(ctx, {critic.net, critic.weights.data(), critic_learner.gradients(ctx, 0), critic_work},
                            batch, {}, {rollout.value_A, rollout.return_A, weight_A});
    critic_learner.update(ctx, critic.weights.data(), 1e-3);
    fmt::print("iteration {:2}: reward {:6.2f}, KL {:.3f} nats per sequence\n", iteration,
               statistics["reward/raw_mean"], statistics["kl/per_sequence_nats"]);
  }
}

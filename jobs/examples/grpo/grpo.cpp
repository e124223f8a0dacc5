// Group-relative PPO (GRPO) against Troupe's engine, as a program outside of its tree: answers to a prompt are judged
// against each other, so that no critic is needed.
//   A_b = (score_b - mean of the prompt's scores) / (their standard deviation + 1e-4), the same for all tokens of b
// Source  Shao et al., arXiv:2402.03300, without its rounds of new references.
//
//   grpo MODEL LEXICON [ITERATIONS]      for example tests/data/stories260k tests/data/vader/vader_lexicon.txt
#include "base/thread_pool.hpp"
#include "engine/generate/generator.hpp"
#include "engine/models/weights.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/weights/model_folder.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <vector>

namespace eng = troupe::engine;
namespace io = troupe::io;

constexpr const char* openings[] = {
    "Once upon a time, there was a little dog named Max.", "One day, a girl named Lily went to the park.",
    "Tom and Sue were playing in the garden.", "There was a big bear who lived in the forest."};
constexpr int group = 16, max_new_tokens = 48, updates_each = 2;

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: grpo MODEL LEXICON [ITERATIONS]\n");
    return 2;
  }
  const int iterations = argc > 3 ? std::atoi(argv[3]) : 20;
  troupe::thread_pool pool;
  troupe::context ctx{pool};
  const auto folder = io::model_folder::open(argv[1]);
  const auto tokens = io::load_tokenizer(argv[1]);
  const io::lexicon words = io::lexicon::load(argv[2]);
  const eng::transformer net(eng::describe(folder.config()));
  troupe::aligned_buffer<float> policy(net.layout().arena_size()), reference(net.layout().arena_size());
  eng::load_weights(net, folder.tensor_names(), folder.finder(), policy.data(), false);
  eng::load_weights(net, folder.tensor_names(), folder.finder(), reference.data(), false);
  eng::learner learner(net.layout(), {});
  eng::train_workspace work;

  for (int iteration = 0; iteration < iterations; ++iteration) {
    eng::packed_batch batch;
    std::vector<int64_t> answer_offset_B1 = {0};
    std::vector<float> logprob_old_A, advantage_A;
    double score_sum = 0;
    for (uint64_t p = 0; p < std::size(openings); ++p) {  // a group of answers to each prompt
      eng::generation_request request{
          .prompt = tokens->encode(openings[p], true), .max_new_tokens = max_new_tokens, .seed = 1};
      for (uint64_t sample = 0; sample < group; ++sample) {
        request.sequence_ids.push_back(static_cast<uint64_t>(iteration) << 32 | p << 16 | sample);
      }
      eng::generator generator(net, policy.data(), {.cache_pages = 256});
      const auto answers = eng::generate_all(ctx, generator, {request});
      std::vector<float> score_B;
      for (const eng::generated_sequence& answer : answers) {
        const double score = words.score(tokens->decode(answer.ids, true)).per_hundred_words;
        score_B.push_back(static_cast<float>(score));
        score_sum += score;
      }
      const eng::moments scores = eng::moments_of(score_B);
      for (size_t b = 0; b < answers.size(); ++b) {
        batch.add(request.prompt, answers[b].ids);
        logprob_old_A.insert(logprob_old_A.end(), answers[b].logprobs.begin(), answers[b].logprobs.end());
        advantage_A.resize(logprob_old_A.size(), static_cast<float>((static_cast<double>(score_B[b]) - scores.mean) /
                                                                    (std::sqrt(scores.variance()) + 1e-4)));
        answer_offset_B1.push_back(static_cast<int64_t>(logprob_old_A.size()));
      }
    }

    const auto logprob_ref_A = eng::answer_log_probs(ctx, net, reference.data(), batch, 1);
    const auto weight_A =
        eng::answer_weights(eng::loss_mean::sequence, eng::count_answers(answer_offset_B1), answer_offset_B1);
    const eng::policy_settings settings{.kl_coefficient = 0.04, .estimator = eng::kl_estimator::k3};
    eng::policy_statistics learned;
    for (int update = 0; update < updates_each; ++update) {
      learned = eng::policy_micro_batch(ctx, {net, policy.data(), learner.gradients(ctx, 0), work}, batch, settings,
                                        {logprob_old_A, logprob_ref_A, advantage_A, weight_A});
      learner.update(ctx, policy.data(), 3e-4);
    }
    fmt::print("iteration {:2}: reward {:6.2f}, KL {:.3f} nats per token\n", iteration,
               score_sum / static_cast<double>(answer_offset_B1.size() - 1), learned.mean(learned.ref_kl_nats));
  }
}

#include "jobs/score_experience.hpp"

#include "actors/models/model_files.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/weights_digest.hpp"
#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "engine/train/scoring.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/experience_set.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "jobs/fields.hpp"
#include "jobs/new_experience.hpp"
#include "jobs/same_tokenizer.hpp"
#include "jobs/tidy_interrupt.hpp"

#include <filesystem>
#include <memory>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr int64_t tokens_at_once = 4096;

class behaviour_scorer {
public:
  behaviour_scorer(const std::string& folder, dtype type, int threads)
      : pool_(threads), model_(actors::load_model(folder, actors::head_kind::language_model, {.type = type})),
        digest_(actors::weights_digest(ctx_, *model_)), tokens_(actors::own_tokenizer(folder)) {}

  void fill(io::experience& e, const fs::path& file) {
    if (e.behaviour != io::behaviour_source::unknown) {
      throw error(errc::bad_argument, "{}: it has log-probabilities already ({}), which stay as they are",
                  file.string(), to_string(e.behaviour));
    }
    if (tokens_) {
      require_same_tokenizer(e, file, *tokens_, model_->folder);
    }
    engine::packed_batch batch;
    for (int64_t b = 0; b < e.sequences(); ++b) {
      batch.add(e.prompt_tokens(b), e.answer_tokens(b));
      if (batch.tokens() >= tokens_at_once || b + 1 == e.sequences()) {
        const std::vector<float> some = engine::answer_log_probs(ctx_, model_->net, model_->weights.data(), batch,
                                                                 static_cast<float>(e.temperature));
        require_finite(some, model_->folder);
        e.logprob_old_A.insert(e.logprob_old_A.end(), some.begin(), some.end());
        batch = {};
      }
    }
    e.behaviour = io::behaviour_source::scored;
    e.behaviour_digest = digest_;
  }

private:
  thread_pool pool_;
  context ctx_{pool_};
  actors::model_ptr model_;
  std::string digest_;
  std::unique_ptr<const io::tokenizer> tokens_;  ///< null: the folder has none
};

}  // namespace

std::string score_experience(const std::string& model, const std::string& source, const std::string& target, dtype type,
                             int threads) {
  const std::vector<fs::path> files = io::find_experience(source);
  const tidy_interrupt tidy;
  new_experience out(target);
  behaviour_scorer scorer(model, type, threads);
  int64_t tokens = 0;
  for (const fs::path& file : files) {
    io::experience e = io::read_experience(file);
    scorer.fill(e, file);
    out.add(e);
    tokens += e.answer_tokens();
  }
  out.commit();
  return fmt::format("{}: log-probabilities of {} answer tokens in {} files, as the model in {} has them", target,
                     tokens, files.size(), model);
}

}  // namespace troupe

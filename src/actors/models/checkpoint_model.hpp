/// A model out of a checkpoint, as a folder that everything else reads: the best one of a run, for example.
#pragma once

#include "actors/models/model_files.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::actors {

/// Whether a folder is a checkpoint: <run>/checkpoints/<phase>/<unit>-NNNNNN.
bool is_checkpoint(const std::filesystem::path& folder);

/// Names of the models in a checkpoint, as models/ of its run has them: "policy", "policy-ema", "critic", "reward"; that of
/// the sft phase is "policy". The first is the phase's own.
/// Errors  those of io::checkpoint_reader.
std::vector<std::string> models_in(const std::filesystem::path& checkpoint);

/// Writes one of them as a Hugging Face folder of weights of this type, with the shape and the tokenizer that its run started it
/// from (what <run>/job.ini names must still be there). Digests are checked. `overwrite`: an older model folder at `target`
/// may be replaced. Returns the model's shape.
/// Errors  bad_argument: there is no such model; shape_mismatch: the folder that the run started from has another one
///         now; those of io::model_target, io::checkpoint_reader, io::load_job and save_model.
model_ptr save_checkpointed(const std::filesystem::path& checkpoint, const std::string& name,
                            const std::filesystem::path& target, dtype type, bool overwrite);

}  // namespace troupe::actors

/// Models in checkpoints: the best one of a run, for example, written as a folder that everything else reads.
#pragma once

#include "actors/models/model_files.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::actors {

/// Whether a folder is a checkpoint: <run>/checkpoints/<phase>/<unit>-NNNNNN.
bool is_checkpoint(const std::filesystem::path& folder);

/// Names of the models in a checkpoint: "policy" (also of the sft phase), "policy-ema", "critic", "reward". The first
/// is the model that the phase trains.
/// Errors  those of io::checkpoint_reader.
std::vector<std::string> models_in(const std::filesystem::path& checkpoint);

/// Writes the model of that name as a Hugging Face folder of weights of this type. Its shape and its tokenizer are read
/// from the folder that the run started it from, which <run>/job.ini names. Digests are checked. `overwrite`: an older
/// model folder at `target` may be replaced. Returns the model.
/// Errors  bad_argument: the checkpoint has no such model; shape_mismatch: the folder that the run started from holds
///         another shape now; those of io::model_target, io::checkpoint_reader, io::load_job and save_model.
model_ptr save_checkpointed(const std::filesystem::path& checkpoint, const std::string& name,
                            const std::filesystem::path& target, dtype type, bool overwrite);

}  // namespace troupe::actors

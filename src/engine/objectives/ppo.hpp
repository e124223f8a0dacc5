/// All of PPO's arithmetic: rewards and advantages, the losses, the KL controller.
#pragma once

#include "engine/objectives/kl.hpp"
#include "engine/objectives/policy_loss.hpp"
#include "engine/objectives/rewards.hpp"
#include "engine/objectives/value_loss.hpp"

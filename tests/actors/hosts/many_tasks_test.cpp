// Whether a launcher has started a program that starts its ranks itself.
#include "actors/hosts/many_tasks.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

TEST(ManyTasks, NoneWithoutALauncherNorInABatchScript) {
  EXPECT_FALSE(tasks_of({{"PATH", "/bin"}}));
  EXPECT_FALSE(tasks_of({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}));
  EXPECT_FALSE(tasks_of({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}})) << "salloc's shell";
}

TEST(ManyTasks, MpirunsAndSrunsAreCounted) {
  const auto of_mpirun = tasks_of({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}});
  ASSERT_TRUE(of_mpirun);
  EXPECT_EQ(of_mpirun->launcher, "mpirun");
  EXPECT_EQ(of_mpirun->tasks, 2);
  EXPECT_EQ(of_mpirun->place, 1);
  EXPECT_TRUE(tasks_of({{"OMPI_COMM_WORLD_SIZE", "1"}})) << "it could not start a second mpirun";
  EXPECT_TRUE(tasks_of({{"MPI_LOCALNRANKS", "4"}}));
  const auto of_srun =
      tasks_of({{"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "3"}, {"SLURM_PROCID", "2"}});
  ASSERT_TRUE(of_srun);
  EXPECT_EQ(of_srun->launcher, "srun");
  EXPECT_EQ(of_srun->place, 2);
}

}  // namespace troupe::actors

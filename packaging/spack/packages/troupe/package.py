from spack.package import *


class Troupe(CMakePackage):
    """RLHF for language models in one C++20 program: supervised fine-tuning, reward model, PPO and chat."""

    # There is no published archive yet: from a checkout, by
    #   spack install troupe ^openmpi         with      spack develop --path CHECKOUT troupe@main
    license("Apache-2.0")

    version("main", branch="main")

    variant("mpi", default=True, description="Ranks over MPI; without it one rank")
    variant("program", default=True, description="The program; without it the libraries alone")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type=("build", "run"))
    requires("%gcc@12:", msg="C++20 with coroutines; built and tested with GCC 12")

    depends_on("fmt@9:")
    depends_on("xxhash")
    depends_on("random123", type="build")
    depends_on("highway@1.0.3:")
    depends_on("mpi", when="+mpi")
    depends_on("hdf5@1.10.7: ~mpi")
    depends_on("boost@1.74: +program_options")
    depends_on("nlohmann-json@3.11:")
    depends_on("zlib-api")
    depends_on("pcre2")
    depends_on("utf8proc")
    depends_on("sentencepiece")
    depends_on("actor-framework@0.17.6", when="+program")
    depends_on("openssl@3:", when="+program")
    depends_on("spdlog@1.10: +fmt_external", when="+program")
    depends_on("libedit", when="+program")

    generator("ninja")

    def cmake_args(self):
        return [
            self.define_from_variant("TROUPE_MPI", "mpi"),
            self.define_from_variant("TROUPE_PROGRAM", "program"),
            self.define("TROUPE_TESTS", False),
        ]

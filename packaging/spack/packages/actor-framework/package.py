from spack.package import *


class ActorFramework(CMakePackage):
    """The C++ Actor Framework (CAF). Troupe needs 0.17: later versions have another interface."""

    homepage = "https://www.actor-framework.org"
    url = "https://github.com/actor-framework/actor-framework/archive/0.17.6.tar.gz"

    license("BSD-3-Clause")

    version("0.17.6", sha256="e2bf5bd243f08bb7d8adde197cfe3e6d71314ed3378fe0692f8932f4c3b3928c")

    depends_on("cxx", type="build")
    depends_on("cmake@3.4:", type="build")
    depends_on("openssl")

    def cmake_args(self):
        return [
            self.define("CMAKE_CXX_STANDARD", 17),
            self.define("CAF_NO_EXAMPLES", True),
            self.define("CAF_NO_TOOLS", True),
            self.define("CAF_NO_UNIT_TESTS", True),
            self.define("CAF_NO_PYTHON", True),
            self.define("CAF_NO_OPENCL", True),
        ]

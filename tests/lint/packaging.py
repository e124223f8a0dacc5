#!/usr/bin/env python3
"""Recipes of packages against what CMake looks for: runs the Spack recipes with a stand-in for Spack's own words, and
fails where a library of cmake/libraries.cmake, or a version, is not in them."""

import pathlib
import re
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECIPES = ROOT / "packaging/spack/packages"

# What CMake calls a library, and what Spack calls the package. Threads come with the compiler.
NAMES = {"fmt": "fmt", "PkgConfig": "pkgconfig", "xxhash": "xxhash", "hwy": "highway", "MPI_C": "mpi",
         "HDF5": "hdf5", "Boost": "boost", "nlohmann_json": "nlohmann-json", "ZLIB": "zlib-api", "pcre2": "pcre2",
         "utf8proc": "utf8proc", "sentencepiece": "sentencepiece", "CAF": "actor-framework", "spdlog": "spdlog",
         "OpenSSL": "openssl", "libedit": "libedit"}


def needed():
    """The libraries that cmake/libraries.cmake names."""
    text = (ROOT / "cmake/libraries.cmake").read_text()
    lists = re.findall(r"set\(troupe_libraries_of_\w+ ([^)]+)\)", text)
    return {name for words in lists for name in words.split()} - {"Threads"}


class Recipe:
    """What a recipe says, by running it."""

    def __init__(self, path):
        self.said = {}
        words = types.ModuleType("spack.package")
        for word in ["license", "version", "variant", "depends_on", "requires", "generator"]:
            setattr(words, word, lambda *args, word=word, **more: self.said.setdefault(word, []).append((args, more)))
        words.CMakePackage = type("CMakePackage", (), {
            "define": staticmethod(lambda name, value: f"-D{name}={value}"),
            "define_from_variant": staticmethod(lambda name, variant: f"-D{name}={variant}")})
        sys.modules["spack"], sys.modules["spack.package"] = types.ModuleType("spack"), words
        scope = {}
        exec(compile(path.read_text(), path, "exec"), scope)
        self.name = "".join(part.capitalize() for part in path.parent.name.split("-"))
        self.arguments = scope[self.name]().cmake_args()
        self.packages = {re.match(r"[\w-]+", args[0])[0]: args[0] for args, _ in self.said["depends_on"]}


def faults():
    troupe, caf = (Recipe(RECIPES / name / "package.py") for name in ("troupe", "actor-framework"))
    yield from (f"packaging/spack: troupe does not depend on {NAMES.get(name, name)}, which CMake looks for as {name}"
                for name in sorted(needed()) if NAMES.get(name) not in troupe.packages)
    options = set(re.findall(r"(?:option|cmake_dependent_option)\((TROUPE_\w+)", (ROOT / "CMakeLists.txt").read_text()))
    yield from (f"packaging/spack: {argument}: CMakeLists.txt has no such option"
                for argument in troupe.arguments if argument[2:].split("=")[0] not in options)
    wanted = troupe.packages["actor-framework"].split("@")[1]
    if not any(args[0] == wanted for args, _ in caf.said["version"]):
        yield f"packaging/spack: troupe wants CAF {wanted}, and the recipe of it has another"
    script = (ROOT / "packaging/charliecloud/make_image.sh").read_text()
    yield from (f"packaging/apptainer/troupe.def does not install {package}, and charliecloud/make_image.sh does"
                for package in re.findall(r"(?:openmpi|slurm|libpmix)[\w-]+", script)
                if package not in (ROOT / "packaging/apptainer/troupe.def").read_text())


def main():
    found = list(faults())
    print("\n".join(found) or "recipes: all libraries are there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

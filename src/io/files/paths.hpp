/// What std::filesystem does, with the errors of this program: where the system refuses, an io_failure that says what
/// could not be done to which path, and why.
#pragma once

#include <filesystem>
#include <vector>

namespace troupe::io {

/// Whether there is anything of this name.
/// Errors  io_failure: that cannot be known, as in a folder that may not be entered.
bool is_there(const std::filesystem::path& path);

/// Whether there is a folder of this name.
/// Errors  as above.
bool is_folder(const std::filesystem::path& path);

/// Makes a folder, and those that it lies in, where they are not there. The empty path is the current folder.
/// Errors  io_failure.
void make_folder(const std::filesystem::path& path);

/// What is in a folder, by name; nothing where there is no such folder.
/// Errors  io_failure: what cannot be listed must not be taken for what is not there.
std::vector<std::filesystem::directory_entry> entries_of(const std::filesystem::path& folder);

/// Errors  io_failure.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);

/// Removes a file or a folder with all that is in it; nothing where there is none.
/// Errors  io_failure.
void remove_tree(const std::filesystem::path& path);

}  // namespace troupe::io

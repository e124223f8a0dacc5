/// What keeps an attempt that is over from changing a run's files, however late its processes wake up.
#pragma once

#include <filesystem>
#include <functional>

namespace troupe::io {

/// A folder that exists as long as its attempt may write. What the attempt makes, it makes in there, and gives it its
/// final name by a rename out of the folder; what it removes, it renames into the folder first. Who begins the next
/// attempt removes the folder, so that a process which had been stopped anywhere (between a check and its rename
/// too) finds nothing to rename and nowhere to rename to. No lock is held: a stopped process holds nobody up.
/// Assumed of the file system: it puts renames and removals in one order, whichever hosts ask (a server's names, not a
/// client's cache), and the folder lies on the same one as what is written.
class attempt_fence {
public:
  /// `still_allowed` throws (errc::interrupted) when the attempt is known to be over. It gives the clear message; that
  /// nothing is changed, the folder alone makes certain.
  attempt_fence(std::filesystem::path folder, std::function<void()> still_allowed);

  const std::filesystem::path& folder() const { return folder_; }

  void require() const { still_allowed_(); }

  /// Where to make what will be `target`, a file or a folder: a name that only this target has.
  /// Errors  those of still_allowed.
  std::filesystem::path workplace(const std::filesystem::path& target) const;

  /// Gives `made`, which is durable, its final name, durably.
  /// Errors  io_failure, those of still_allowed; nothing has its final name then.
  void commit(const std::filesystem::path& made, const std::filesystem::path& target) const;

  /// Takes the name from `path` and returns the new place, which holds nothing else.
  /// Errors  as above; nothing is changed then.
  std::filesystem::path take(const std::filesystem::path& path) const;

  /// Removes a file or a folder whole: no half of it is ever seen under its name.
  /// Errors  as above.
  void remove(const std::filesystem::path& path) const;

private:
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) const;

  std::filesystem::path folder_;
  std::function<void()> still_allowed_;
};

}  // namespace troupe::io

#pragma once
// SimFs: one member's file system in memory, with a file system's manners. Names are made, renamed
// and removed at once, but only a sync of any file makes them last, in the order in which they were
// made (a journal, as ext4 and XFS have). Bytes last when their file is synced. A power failure
// leaves any beginning of the names' journal, and of unsynced bytes any mixture of sectors; a
// crash of the process alone leaves everything.
//
// After `freeze_after(n)` the n-th change from now on, and all after it, are lost although they
// seem to succeed: the moment at which the power fails, in the middle of whatever a member is
// doing.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "test/sim/world.h"

namespace sim {

class SimFs {
  public:
    struct File {
        std::string bytes;
        std::size_t synced = 0;  // so many of them last
        bool rotten = false;     // damaged behind its owner's back
    };
    using FilePtr = std::shared_ptr<File>;

    explicit SimFs(World& world) : world_(world) {}

    // The names of now.
    FilePtr find(const std::string& path) const;
    const std::map<std::string, FilePtr>& files() const { return now_.files; }
    bool is_directory(const std::string& path) const { return now_.directories.contains(path); }
    // Names in a directory, of files and directories.
    std::set<std::string> children(const std::string& path) const;

    // Each is one change.
    FilePtr create(const std::string& path);
    void remove(const std::string& path);  // a file, or all of a directory
    void rename(const std::string& from, const std::string& to);
    void make_directory(const std::string& path);
    void append(File& file, std::string_view bytes);
    void sync(File& file);

    // The power fails: what did not last is lost, in part or as a whole.
    void power_failure();
    // The process is gone, the machine goes on: what was written stays.
    void process_ended() { thaw(); }

    void freeze_after(std::uint64_t changes, std::function<void()> frozen);
    void cancel_freeze() { freeze_in_.reset(); }
    bool frozen() const { return image_.has_value(); }

    // Damages a byte of a file in `directory` whose name `chosen` takes. The file's name.
    std::optional<std::string> rot(const std::string& directory,
                                   const std::function<bool(const std::string&)>& chosen);
    // Whether a damaged file is still there.
    bool rotten() const;

    // The next sync fails, or all writing does until it is reset: what a disk's error or a full
    // disk does. Looked at by SimEnv.
    bool fail_sync = false;
    bool full = false;

  private:
    struct View {
        std::map<std::string, FilePtr> files;
        std::set<std::string> directories;
    };
    struct Change {
        enum class Kind { kCreate, kRemove, kRename, kMakeDirectory } kind;
        std::string path;
        std::string to;
        FilePtr file;
    };
    static void apply(View* view, const Change& change);
    void note(Change change);
    void before_change();
    void tear(File& file);
    void thaw();
    static View copy(const View& view, std::map<const File*, FilePtr>* copies);

    World& world_;
    View now_;
    View lasting_;
    std::vector<Change> journal_;

    struct Image {
        View now;
        View lasting;
        std::vector<Change> journal;
    };
    std::optional<std::uint64_t> freeze_in_;
    std::function<void()> on_frozen_;
    std::optional<Image> image_;  // of the moment of the freeze
};

}  // namespace sim

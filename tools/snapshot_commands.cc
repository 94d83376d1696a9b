// `coxctl snapshot …`: copies of the whole store in a file, and new clusters made from one.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "base/file.h"
#include "kvstore/backup/restore.h"
#include "kvstore/backup/snapshot_file.h"
#include "kvstore/proto/rpc.pb.h"
#include "tools/blocking.h"
#include "tools/identity.h"
#include "tools/member_id.h"
#include "tools/store_client.h"
#include "tools/store_commands.h"

namespace tools {

namespace fs = std::filesystem;
namespace pb = etcdserverpb;
namespace json = boost::json;

namespace {

struct RestoreFlags {
    std::string file;
    std::string data_dir;
    std::string name = "default";
    std::string token = "coxswain";
    std::vector<std::string> initial_cluster;
    std::vector<std::string> advertise_peer;
    std::int64_t bump_revision = 0;
    bool mark_compacted = false;
    bool skip_hash_check = false;
};

base::Task<void> receive(base::Loop* loop, Target t, int fd, std::string path) {
    net::GrpcChannel channel(*loop, t.channel());
    CO_TRY(auto stream, co_await channel.open("/etcdserverpb.Maintenance/Snapshot", call_timeout(),
                                              t.metadata()));
    CO_TRY_VOID(stream->write(pb::SnapshotRequest().SerializeAsString()));
    stream->half_close();
    std::uint64_t received = 0;
    for (;;) {
        CO_TRY(auto message, co_await stream->read());
        if (!message) break;
        pb::SnapshotResponse response;
        if (!response.ParseFromString(*message))
            co_return base::internal_error("the answer cannot be read");
        CO_TRY_VOID(base::write_all(fd, response.blob(), path));
        received += response.blob().size();
        if (::isatty(2) != 0)
            fmt::print(stderr, "\r{} of {} bytes", received, received + response.remaining_bytes());
    }
    if (::isatty(2) != 0) fmt::print(stderr, "\n");
    co_return base::Status();
}

base::Status receive_file(const std::string& path) {
    TRY(const Target t, target());
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return base::errno_error(errno, "create " + path);
    auto saved = run_blocking<void>([&](base::Loop& loop) { return receive(&loop, t, fd, path); });
    if (saved && ::fsync(fd) != 0) saved = base::errno_error(errno, "sync " + path);
    if (::close(fd) != 0 && saved) saved = base::errno_error(errno, "close " + path);
    return saved;
}

void print(const kvstore::SnapshotSummary& s) {
    if (as_json())
        return print_json(json::object{{"hash", s.hash},
                                       {"sha256", s.sha256},
                                       {"revision", s.revision},
                                       {"compactRevision", s.compacted},
                                       {"totalKey", s.keys},
                                       {"totalVersion", s.versions},
                                       {"leases", s.leases},
                                       {"users", s.users},
                                       {"totalSize", s.bytes}});
    fmt::print("{:<10} {:>12} {:>12} {:>10} {:>10} {:>8} {:>6} {:>14}\n", "HASH", "REVISION",
               "COMPACTED", "KEYS", "VERSIONS", "LEASES", "USERS", "BYTES");
    fmt::print("{:<10x} {:>12} {:>12} {:>10} {:>10} {:>8} {:>6} {:>14}\n", s.hash, s.revision,
               s.compacted, s.keys, s.versions, s.leases, s.users, s.bytes);
}

base::Status check_file(const std::string& path) {
    TRY(const auto file, kvstore::SnapshotFile::open(path));
    if (!file->has_checksum()) return base::data_loss(path + " has no SHA-256: it is cut short");
    TRY(const auto summary, file->summary());
    return {};
}

// Beside its place first, and there only once it is whole, checked as it lies on the disk.
base::Status save(const std::string& path) {
    const std::string part = path + ".part";
    auto saved = receive_file(part);
    if (saved) saved = check_file(part);
    if (!saved) {
        ::unlink(part.c_str());
        return saved;
    }
    if (::rename(part.c_str(), path.c_str()) != 0)
        return base::errno_error(errno, "rename " + part);
    TRY_VOID(base::sync_directory(fs::path(path).parent_path()));
    fmt::print("saved {}\n", path);
    return {};
}

base::Status status(const std::string& path) {
    TRY(const auto file, kvstore::SnapshotFile::open(path));
    if (!file->has_checksum())
        fmt::print(stderr, "{} has no SHA-256: it cannot be told whether it is damaged\n", path);
    TRY(const auto summary, file->summary());
    print(summary);
    return {};
}

// "n1=URL" each; a name may stand more than once.
base::Result<std::vector<kvstore::Member>> members_of(const RestoreFlags& flags) {
    std::vector<kvstore::Member> out;
    std::vector<std::string> list = flags.initial_cluster;
    if (list.empty())
        for (const auto& url : flags.advertise_peer)
            list.push_back(flags.name + "=" + url);
    for (const auto& text : list) {
        const auto equals = text.find('=');
        if (equals == std::string::npos || equals == 0)
            return base::invalid_argument("--initial-cluster: \"" + text + "\" is not name=URL");
        const std::string name = text.substr(0, equals);
        const std::string url = text.substr(equals + 1);
        if (auto parsed = net::Endpoint::parse(url); !parsed)
            return base::invalid_argument("--initial-cluster: " + parsed.error().message);
        auto known = std::find_if(out.begin(), out.end(),
                                  [&](const kvstore::Member& m) { return m.name == name; });
        if (known == out.end()) {
            kvstore::Member member;
            member.id = raft::NodeId(member_id(flags.token, name));
            member.name = name;
            known = out.insert(out.end(), std::move(member));
        }
        known->peer_urls.push_back(url);
    }
    // Whatever the order of the flags: every member is to get the same.
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return out;
}

base::Status check(const RestoreFlags& flags, const std::vector<kvstore::Member>& members) {
    const auto own = std::find_if(members.begin(), members.end(),
                                  [&](const kvstore::Member& m) { return m.name == flags.name; });
    if (members.empty())
        return base::invalid_argument(
            "say who the members are: --initial-cluster name=URL,…, or --initial-advertise-peer-"
            "urls for a cluster of this one");
    if (own == members.end())
        return base::invalid_argument("--initial-cluster does not name this member, --name " +
                                      flags.name);
    if (!flags.advertise_peer.empty() && flags.advertise_peer != own->peer_urls)
        return base::invalid_argument(
            "--initial-advertise-peer-urls is not what --initial-cluster "
            "says of " +
            flags.name);
    if (flags.bump_revision < 0)
        return base::invalid_argument("--bump-revision must not be negative");
    if (flags.mark_compacted != (flags.bump_revision > 0))
        return base::invalid_argument(
            "--bump-revision and --mark-compacted go together: between the old and the new "
            "revision there is nothing to read");
    std::error_code ec;
    if (fs::exists(flags.data_dir, ec) && !fs::is_empty(flags.data_dir, ec))
        return base::invalid_argument("--data-dir " + flags.data_dir + " is there already");
    return {};
}

// The members' names are not enough for its id: a member that was restored from something else, or
// not at all, must not be taken for one of the cluster.
std::uint64_t restored_cluster_id(const RestoreFlags& flags,
                                  const std::vector<kvstore::Member>& members,
                                  const kvstore::SnapshotSummary& snapshot) {
    std::vector<std::string> names;
    for (const auto& m : members)
        names.push_back(m.name);
    names.push_back(fmt::format("restored from {} bump {} compacted {}", snapshot.sha256,
                                flags.bump_revision, flags.mark_compacted));
    return cluster_id(flags.token, names);
}

base::Status restore_into(const std::string& directory, const RestoreFlags& flags,
                          std::vector<kvstore::Member> members, kvstore::Restored* restored) {
    kvstore::RestoreOptions options;
    options.snapshot = flags.file;
    options.directory = directory;
    options.id = raft::NodeId(member_id(flags.token, flags.name));
    options.members = std::move(members);
    options.cluster_id = [&](const kvstore::SnapshotSummary& snapshot) {
        return restored_cluster_id(flags, options.members, snapshot);
    };
    options.bump_revision = flags.bump_revision;
    options.mark_compacted = flags.mark_compacted;
    options.without_checksum = flags.skip_hash_check;
    TRY(*restored, kvstore::restore_snapshot(options));
    Identity identity;
    identity.cluster = restored->cluster_id;
    identity.id = options.id.value();
    return base::write_file_atomic(directory + "/identity", encode(identity), 0600);
}

base::Status restore(const RestoreFlags& flags) {
    TRY(auto members, members_of(flags));
    TRY_VOID(check(flags, members));
    fs::path place = fs::absolute(flags.data_dir).lexically_normal();
    if (place.filename().empty()) place = place.parent_path();
    const std::string part = place.string() + ".restoring";
    std::error_code ec;
    fs::remove_all(part, ec);
    kvstore::Restored restored;
    if (auto made = restore_into(part, flags, std::move(members), &restored); !made) {
        fs::remove_all(part, ec);
        return made;
    }
    TRY_VOID(base::sync_directory(part));
    // An empty directory gives way.
    if (::rename(part.c_str(), place.c_str()) != 0)
        return base::errno_error(errno, "rename " + part + " to " + place.string());
    TRY_VOID(base::sync_directory(place.parent_path()));
    if (as_json())
        return print_json(
                   json::object{{"cluster", fmt::format("{:x}", restored.cluster_id)},
                                {"member", fmt::format("{:x}", member_id(flags.token, flags.name))},
                                {"revision", restored.revision},
                                {"keys", restored.snapshot.keys}}),
               base::Status();
    fmt::print("restored {} keys at revision {} into {}: member {} of cluster {:x}\n",
               restored.snapshot.keys, restored.revision, flags.data_dir, flags.name,
               restored.cluster_id);
    return {};
}

}  // namespace

void add_snapshot_commands(CLI::App& app, int* exit_code) {
    static std::string path;
    static RestoreFlags flags;
    auto* snapshot = app.add_subcommand("snapshot", "copies of the whole store");
    snapshot->require_subcommand(1);
    store_command(*snapshot, exit_code, "save", "write one to a file, and check it",
                  [] { return save(path); })
        ->add_option("file", path, "where to")
        ->required();
    file_command(*snapshot, exit_code, "status", "check a file, and say what is in it",
                 [] { return status(path); })
        ->add_option("file", path,
                     "of snapshot save, coxctl's or etcdctl's; of Coxswain or of etcd")
        ->required();
    auto* command = file_command(*snapshot, exit_code, "restore",
                                 "make the data directory of a member of a new cluster from a "
                                 "file; once for each member, with the same flags but --name",
                                 [] { return restore(flags); });
    command
        ->add_option("file", flags.file,
                     "of snapshot save, coxctl's or etcdctl's; of Coxswain or of etcd")
        ->required();
    command->add_option("--data-dir", flags.data_dir, "where to; must be empty or not there")
        ->required();
    command->add_option("--name", flags.name, "of this member")->capture_default_str();
    command
        ->add_option("--initial-cluster", flags.initial_cluster,
                     "name=https://host:port of every member, as the others reach it")
        ->delimiter(',');
    command
        ->add_option("--initial-advertise-peer-urls", flags.advertise_peer,
                     "of this member; checked against --initial-cluster")
        ->delimiter(',');
    command
        ->add_option("--initial-cluster-token", flags.token,
                     "clusters with different tokens refuse each other")
        ->capture_default_str();
    command->add_option("--bump-revision", flags.bump_revision,
                        "add this to the revision, so that none is given twice to a client of the "
                        "old cluster; needs --mark-compacted");
    command->add_flag("--mark-compacted", flags.mark_compacted,
                      "what was before counts as compacted: watches from old revisions end");
    command->add_flag("--skip-hash-check", flags.skip_hash_check,
                      "take a file without a SHA-256, as an etcd member's own is");
}

}  // namespace tools

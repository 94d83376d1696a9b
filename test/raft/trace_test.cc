// Data-driven traces of the consensus core: test/data/raft/*.txt hold commands and, after "----",
// the full expected output. COXSWAIN_REWRITE=1 writes the output found into the files.
//
//   nodes 3 [learners 1] [lease] [priority ID N]…
//                               a group; members 1…n (then learners)
//   tick N [count]              time passes at N, 10 ms each
//   clock N MS                  time passes without a tick: N is paused
//   campaign N                  N's election timer runs out
//   stabilize [N…]              messages and disk writes until nothing is left (only at these)
//   deliver A->B | drop A->B    messages under way between two
//   keep A->B | late            copies of them, which come later
//   say A->B TYPE TERM          a message from outside the group's own doing, of a log that is
//   ahead step N                      one round of messages to N hold-disk N | disk N        writes
//   at N stay under way; are done isolate N | rejoin N        every message from and to N is lost
//   propose N TEXT
//   read N CONTEXT
//   transfer N TARGET
//   change N KIND ID [KIND ID…] add-voter, add-learner, promote, remove; several in one step
//   restart N                   with what was durable
//   damage N KEEP               restart, with the first KEEP entries only and knowing of the loss
//   lose N KEEP                 the same, not knowing of it: the disk lied
//   log N TERM…                 gives N, before anything else, a log with these terms
//   status                      one line a member
//   settle N                    N times: a tick everywhere, then stabilize; prints changes of role
//   unreachable N PEER
//   quietly COMMAND…            prints only changes of role

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/file.h"
#include "raft/core/core.h"

namespace raft {
namespace {

// Durable entries of a member; where the core reads old ones back from.
struct Storage final : EntrySource {
    std::vector<Entry> entries;  // from index 1
    HardState hard;
    std::vector<Entry> read(Index from, Index to, std::size_t) override {
        std::vector<Entry> out;
        for (const Entry& e : entries)
            if (e.index >= from && e.index <= to) out.push_back(e);
        return out;
    }
    void append(const std::vector<Entry>& more) {
        while (!more.empty() && !entries.empty() && entries.back().index >= more.front().index)
            entries.pop_back();
        entries.insert(entries.end(), more.begin(), more.end());
    }
};

struct Write {
    std::uint64_t ticket = 0;
    std::optional<HardState> hard;
    std::vector<Entry> entries;
};

struct Node {
    Storage storage;
    std::unique_ptr<Core> core;
    std::deque<Write> writes;
    bool hold_disk = false;
    bool isolated = false;
    std::uint64_t clock_ms = 0;
};

class Group {
  public:
    std::string run(const std::string& line) {
        out_.clear();
        std::istringstream in(line);
        std::string command;
        in >> command;
        if (command == "quietly") {
            std::string rest;
            std::getline(in >> std::ws, rest);
            quietly(rest);
        } else if (command == "settle") {
            std::uint64_t count = 0;
            in >> count;
            settle(count);
        } else if (command == "nodes") {
            make(in);
        } else if (command == "log") {
            give_log(in);
        } else if (command == "stabilize") {
            std::set<std::uint64_t> only;
            for (std::uint64_t n = 0; in >> n;)
                only.insert(n);
            stabilize(only);
        } else if (command == "status") {
            status();
        } else if (command == "deliver" || command == "drop" || command == "keep") {
            move(in, command);
        } else if (command == "say") {
            say_it(in);
        } else if (command == "late") {
            network_.insert(network_.end(), kept_.begin(), kept_.end());
            kept_.clear();
        } else {
            at_node(command, in);
        }
        return out_.empty() ? "ok\n" : out_;
    }

  private:
    template <class... Args>
    void say(fmt::format_string<Args...> format, Args&&... args) {
        out_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
    }

    void quietly(const std::string& command) {
        std::istringstream lines(run(command));
        out_.clear();
        for (std::string line; std::getline(lines, line);)
            if (line.find(" of term ") != std::string::npos) say("{}", line);
    }

    void settle(std::uint64_t count) {
        std::string all;
        for (std::uint64_t i = 0; i < count; ++i) {
            out_.clear();
            for (auto& [id, node] : nodes_) {
                tick(node);
                carry_out(id, node);
            }
            stabilize({});
            std::istringstream lines(out_);
            for (std::string line; std::getline(lines, line);)
                if (line.find(" of term ") != std::string::npos) all += line + "\n";
        }
        out_ = all;
    }

    void make(std::istringstream& in) {
        std::uint64_t voters = 0;
        std::uint64_t learners = 0;
        in >> voters;
        lease_ = false;
        priorities_.clear();
        for (std::string word; in >> word;) {
            std::uint64_t id = 0;
            if (word == "learners") in >> learners;
            if (word == "lease") lease_ = true;
            if (word == "priority") in >> id >> priorities_[NodeId(id)];
        }
        nodes_.clear();
        network_.clear();
        Config config;
        for (std::uint64_t i = 1; i <= voters + learners; ++i)
            config.peers.push_back({NodeId(i), i > voters, ""});
        for (const Peer& peer : config.peers) {
            Node& node = nodes_[peer.id];
            node.storage.hard = {Term(1), kNobody};
            node.storage.entries = {
                {Term(1), Index(1), EntryType::kConfig,
                 std::make_shared<const std::string>(encode(ConfigEntry{{}, config}))}};
            boot(peer.id);
        }
    }

    void give_log(std::istringstream& in) {
        std::uint64_t id = 0;
        in >> id;
        Node& node = nodes_.at(NodeId(id));
        std::uint64_t highest = 1;
        for (std::uint64_t term = 0; in >> term; highest = std::max(highest, term))
            node.storage.entries.push_back({Term(term), node.storage.entries.back().index + 1,
                                            EntryType::kData,
                                            std::make_shared<const std::string>("old")});
        node.storage.hard = {Term(highest), kNobody};
        boot(NodeId(id));
    }

    void boot(NodeId id, std::optional<Term> damaged_in = std::nullopt) {
        Node& node = nodes_[id];
        node.writes.clear();
        CoreOptions options;
        options.id = id;
        options.heartbeat_ticks = 1;
        options.election_ticks = 10;
        options.disk_stall_ticks = 30;
        options.seed = id.value();
        options.priority = priorities_[id];
        if (lease_) {
            options.lease_ms = 70;
            options.promise_ms = 100;
        }
        RecoveredLog log;
        log.last = node.storage.entries.empty() ? Index(0) : node.storage.entries.back().index;
        Term last;
        for (const Entry& e : node.storage.entries) {
            if (e.term != last) log.term_starts.push_back({e.index, e.term});
            last = e.term;
            if (e.type == EntryType::kConfig)
                log.configs.emplace_back(e.index, decode_config_entry(e.data())->config);
        }
        const Index commit = log.last == Index(0) ? Index(0) : Index(1);
        node.core = std::make_unique<Core>(
            options, Recovered{node.storage.hard, std::move(log), commit, commit, damaged_in},
            node.storage);
    }

    void at_node(const std::string& command, std::istringstream& in) {
        std::uint64_t number = 0;
        in >> number;
        const NodeId id(number);
        if (command == "restart") {
            boot(id);
            return;
        }
        if (command == "damage" || command == "lose") {
            std::size_t keep = 0;
            in >> keep;
            auto& storage = nodes_.at(id).storage;
            storage.entries.resize(std::min(keep, storage.entries.size()));
            boot(id, command == "damage" ? std::optional(storage.hard.term) : std::nullopt);
            return;
        }
        Node& node = nodes_.at(id);
        Core& core = *node.core;
        std::string word;
        std::uint64_t value = 0;
        if (command == "tick") {
            if (!(in >> value)) value = 1;
            for (std::uint64_t i = 0; i < value; ++i)
                tick(node);
        } else if (command == "clock") {
            in >> value;
            node.clock_ms += value;
            core.set_clock(node.clock_ms);
        } else if (command == "campaign") {
            const std::uint64_t before = core.counters().campaigns;
            while (core.counters().campaigns == before)
                tick(node);
        } else if (command == "step") {
            for (Message& m : take_to(id))
                core.step(std::move(m));
        } else if (command == "hold-disk") {
            node.hold_disk = true;
        } else if (command == "disk") {
            node.hold_disk = false;
            finish_writes(id, node);
        } else if (command == "isolate" || command == "rejoin") {
            node.isolated = command == "isolate";
        } else if (command == "propose") {
            in >> word;
            answer(core.propose(std::make_shared<const std::string>(word), ++context_));
        } else if (command == "read") {
            in >> value;
            answer(core.read_index(value));
        } else if (command == "transfer") {
            in >> value;
            answer(core.transfer(NodeId(value)));
        } else if (command == "unreachable") {
            in >> value;
            core.unreachable(NodeId(value));
        } else if (command == "change") {
            static const std::map<std::string, ChangeKind> kinds{
                {"add-voter", ChangeKind::kAddVoter},
                {"add-learner", ChangeKind::kAddLearner},
                {"promote", ChangeKind::kPromote},
                {"remove", ChangeKind::kRemove}};
            ChangeRequest request{{id, ++context_}, {}};
            while (in >> word >> value) {
                request.changes.push_back({kinds.at(word), {NodeId(value), false, ""}});
                if (nodes_.count(NodeId(value)) == 0) boot(NodeId(value));
            }
            answer(core.propose_config(request, context_));
        } else {
            say("unknown command {}", command);
        }
        carry_out(id, node);
    }

    static void tick(Node& node) {
        node.clock_ms += 10;
        node.core->set_clock(node.clock_ms);
        node.core->tick();
    }

    void answer(Reject reject) {
        static const char* const names[] = {"taken",     "not leader",     "transferring",
                                            "busy",      "change pending", "exists",
                                            "not found", "not a learner",  "learner not ready",
                                            "unhealthy", "malformed"};
        say("{}", names[static_cast<std::size_t>(reject)]);
    }

    void carry_out(NodeId id, Node& node) {
        while (node.core->has_effects()) {
            Effects e = node.core->take();
            if (e.status)
                say("{}: {} of term {}, leader {}", id, role_name(e.status->role), e.status->term,
                    e.status->leader);
            if (e.repaired) say("{}: repaired", id);
            if (e.hard_state)
                say("{}: write term {} vote {}", id, e.hard_state->term, e.hard_state->vote);
            for (const Entry& entry : e.entries)
                say("{}: write {}/{}", id, entry.index, entry.term);
            for (const Message& m : e.messages)
                say("{}: send {}", id, printable(m));
            for (const Entry& entry : e.committed)
                say("{}: apply {}/{}{}", id, entry.index, entry.term,
                    entry.type == EntryType::kConfig ? " config"
                    : entry.payload                  ? " " + *entry.payload
                                                     : "");
            for (const auto& read : e.reads)
                say("{}: read {} at {}", id, read.context, read.index);
            for (const auto& r : e.rejected) {
                out_ += fmt::format("{}: rejected {}: ", id, r.context);
                answer(r.reason);
            }
            for (const NodeId to : e.snapshots)
                say("{}: snapshot for {}", id, to);
            for (Message& m : e.messages)
                if (!node.isolated && nodes_.count(m.to) != 0 && !nodes_.at(m.to).isolated)
                    network_.push_back(std::move(m));
            if (!e.committed.empty()) node.core->applied(e.committed.back().index);
            if (e.ticket != 0)
                node.writes.push_back({e.ticket, e.hard_state, std::move(e.entries)});
        }
    }

    static std::string printable(const Message& m) {
        Message copy = m;
        copy.payload = nullptr;
        for (Entry& e : copy.entries)
            if (e.type == EntryType::kConfig) e.payload = nullptr;
        std::string text = to_string(copy);
        if (m.type == MessageType::kPropose) text += " " + *m.payload;
        return text;
    }

    bool finish_writes(NodeId id, Node& node) {
        if (node.hold_disk || node.writes.empty()) return false;
        while (!node.writes.empty()) {
            Write w = std::move(node.writes.front());
            node.writes.pop_front();
            if (w.hard) node.storage.hard = *w.hard;
            node.storage.append(w.entries);
            node.core->storage_done(w.ticket);
        }
        carry_out(id, node);
        return true;
    }

    std::vector<Message> take_to(NodeId id) {
        std::vector<Message> out;
        std::deque<Message> rest;
        for (Message& m : network_) {
            if (m.to == id) {
                out.push_back(std::move(m));
            } else {
                rest.push_back(std::move(m));
            }
        }
        network_ = std::move(rest);
        return out;
    }

    void stabilize(const std::set<std::uint64_t>& only) {
        bool busy = true;
        for (int rounds = 0; busy && rounds < 200; ++rounds) {
            busy = false;
            for (auto& [id, node] : nodes_) {
                if (!only.empty() && only.count(id.value()) == 0) continue;
                busy = finish_writes(id, node) || busy;
                auto messages = take_to(id);
                busy = busy || !messages.empty();
                for (Message& m : messages) {
                    if (node.isolated) continue;
                    node.core->step(std::move(m));
                    carry_out(id, node);
                }
            }
        }
        if (busy) say("not stable after 200 rounds");
    }

    void move(std::istringstream& in, const std::string& command) {
        std::uint64_t from = 0;
        std::uint64_t to = 0;
        char dash = 0;
        char arrow = 0;
        in >> from >> dash >> arrow >> to;
        std::deque<Message> rest;
        std::vector<Message> taken;
        for (Message& m : network_) {
            if (m.from == NodeId(from) && m.to == NodeId(to)) {
                taken.push_back(std::move(m));
            } else {
                rest.push_back(std::move(m));
            }
        }
        say("{} messages", taken.size());
        if (command == "keep") {
            kept_.insert(kept_.end(), taken.begin(), taken.end());
            rest.insert(rest.end(), taken.begin(), taken.end());
        }
        network_ = std::move(rest);
        if (command != "deliver") return;
        Node& node = nodes_.at(NodeId(to));
        for (Message& m : taken) {
            node.core->step(std::move(m));
            carry_out(NodeId(to), node);
        }
    }

    void say_it(std::istringstream& in) {
        std::uint64_t from = 0;
        std::uint64_t to = 0;
        std::uint64_t term = 0;
        char c = 0;
        std::string type;
        in >> from >> c >> c >> to >> type >> term;
        Message m;
        m.type = MessageType::kPreVote;
        while (message_type_name(m.type) != type && m.type != kLastMessageType)
            m.type = static_cast<MessageType>(static_cast<int>(m.type) + 1);
        m.from = NodeId(from);
        m.to = NodeId(to);
        m.term = Term(term);
        if (type == "Vote" || type == "PreVote") {
            m.index = Index(99);
            m.log_term = Term(term - 1);
        }
        nodes_.at(m.to).core->step(std::move(m));
        carry_out(NodeId(to), nodes_.at(NodeId(to)));
    }

    void status() {
        for (auto& [id, node] : nodes_) {
            const Core& c = *node.core;
            std::string terms;
            for (Index i = c.log().first_index(); i <= c.log().last_index(); ++i)
                terms += fmt::format(" {}", *c.log().term(i));
            std::string members;
            for (const Peer& p : c.config().peers)
                members += fmt::format(" {}{}", p.id, p.learner ? "?" : "");
            if (c.config().joint()) members += " before";
            for (const Peer& p : c.config().outgoing)
                members += fmt::format(" {}", p.id);
            say("{}: {} term {} leader {} commit {} log{} members{}{}", id, role_name(c.role()),
                c.term(), c.leader(), c.log().commit(), terms, members,
                c.repairing() ? " repairing" : "");
        }
    }

    std::map<NodeId, Node> nodes_;
    std::deque<Message> network_;
    std::vector<Message> kept_;
    std::string out_;
    std::uint64_t context_ = 0;
    bool lease_ = false;
    std::map<NodeId, std::uint32_t> priorities_;
};

class Traces : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Traces, OutputIsAsExpected) {
    const std::string text = base::read_file(GetParam()).value();
    Group group;
    std::string found;
    std::istringstream in(text);
    std::string line;
    std::string commands;
    bool output = false;
    const auto run = [&] {
        std::istringstream list(commands);
        for (std::string command; std::getline(list, command);)
            found += group.run(command);
        commands.clear();
    };
    // A block is command lines, "----", output lines, an empty line; '#' begins a comment.
    while (std::getline(in, line)) {
        if (output) {
            if (!line.empty()) continue;
            output = false;
        }
        if (line == "----") {
            found += "----\n";
            run();
            output = true;
            found += "\n";
            continue;
        }
        if (line.empty() || line[0] == '#') {
            if (!line.empty() || commands.empty()) {
                if (!line.empty()) found += line + "\n";
            }
            continue;
        }
        commands += line + "\n";
        found += line + "\n";
    }
    if (std::getenv("COXSWAIN_REWRITE") != nullptr) {
        ASSERT_TRUE(base::write_file_atomic(GetParam(), found));
        return;
    }
    EXPECT_EQ(found, text);
}

std::vector<std::filesystem::path> files() {
    std::vector<std::filesystem::path> out;
    for (const auto& file : std::filesystem::directory_iterator(RAFT_TRACES))
        if (file.path().extension() == ".txt") out.push_back(file.path());
    std::sort(out.begin(), out.end());
    return out;
}

INSTANTIATE_TEST_SUITE_P(Raft, Traces, testing::ValuesIn(files()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace raft

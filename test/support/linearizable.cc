#include "test/support/linearizable.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/random.h"

namespace linearizable {
namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// One key's state. `revision` is 0 while the write's answer, which would tell it, is missing.
struct State {
    bool found = false;
    std::int64_t value = -1;
    std::int64_t revision = 0;
    std::int64_t floor = 0;  // the newest revision known to be in the past
    friend bool operator==(const State&, const State&) = default;
};

// An operation with its values as numbers.
struct Op {
    const Operation* from = nullptr;
    std::int64_t value = -1;  // -1: none
    std::int64_t seen_value = -1;
    std::uint64_t invoked = 0;
    std::uint64_t returned = kNever;
    // The highest revision that the past of its answer can have reached.
    std::int64_t latest = std::numeric_limits<std::int64_t>::max();
    bool known() const { return returned != kNever; }
};

std::int64_t latest_before(const Operation& o) {
    std::int64_t out = std::numeric_limits<std::int64_t>::max();
    if (!o.returned_us) return out;
    const bool writes = o.kind == Kind::kPut || (o.kind != Kind::kGet && o.succeeded);
    if (o.revision != 0) out = writes ? o.revision - 1 : o.revision;
    if (o.seen && o.seen->found && o.seen->mod_revision != 0)
        out = std::min(out, o.seen->mod_revision);
    return out;
}

bool see(const Op& op, State* s) {
    if (!op.from->seen) return true;
    const Seen& seen = *op.from->seen;
    if (seen.found != s->found) return false;
    if (!seen.found) return true;
    if (op.seen_value != s->value) return false;
    if (seen.mod_revision == 0) return true;
    if (s->revision != 0) return s->revision == seen.mod_revision;
    if (seen.mod_revision <= s->floor) return false;
    s->revision = s->floor = seen.mod_revision;
    return true;
}

bool write(const Op& op, std::int64_t value, State* s) {
    const std::int64_t revision = op.known() ? op.from->revision : 0;
    if (revision != 0 && revision <= s->floor) return false;
    s->found = value >= 0;
    s->value = value;
    s->revision = s->found ? revision : 0;
    s->floor = std::max(s->floor, revision);
    return true;
}

bool step_cas(const Op& op, State* s) {
    const std::int64_t expected = op.from->expected;
    bool holds = expected == 0 ? !s->found : s->found;
    bool open = false;  // the key's revision is not known: it may be the expected one
    if (expected != 0 && s->found) {
        open = s->revision == 0 && expected > s->floor;
        holds = open || s->revision == expected;
    }
    const bool succeeded = !op.known() || op.from->succeeded;
    if (!succeeded) {
        const auto& seen = op.from->seen;
        if (seen && seen->found && seen->mod_revision != 0 && seen->mod_revision == expected)
            return false;
        return (!holds || open) && see(op, s);
    }
    if (!holds) return false;
    if (expected != 0) s->floor = std::max(s->floor, expected);
    return write(op, op.value, s);
}

// The state after `op`; false when its answer does not fit.
bool step(const Op& op, State* s) {
    if (op.known() && op.from->revision != 0 && s->floor > op.from->revision) return false;
    switch (op.from->kind) {
        case Kind::kGet:
            return see(op, s);
        case Kind::kPut:
            return write(op, op.value, s);
        case Kind::kCas:
            return step_cas(op, s);
        case Kind::kDelete:
            if (!op.known()) return s->found && write(op, -1, s);
            if (op.from->succeeded != s->found) return false;
            return !s->found || write(op, -1, s);
    }
    return false;
}

// The search for one key.
class Search {
  public:
    Search(std::vector<Op> ops, std::uint64_t max_steps);
    Verdict run();
    std::uint64_t steps() const { return steps_; }
    std::string explain() const;

  private:
    // Calls and returns of the answered operations in the order of time, as a list from which an
    // operation that has its place is taken out.
    struct Event {
        std::size_t op = 0;
        bool is_return = false;
        std::size_t previous = 0;
        std::size_t next = 0;
    };
    // Where a search among the operations that may come next stands.
    struct Cursor {
        std::size_t event = 0;  // of the list; meaningless once `open` counts
        bool among_open = false;
        std::size_t open = 0;
        std::uint64_t limit = 0;  // the first return: nothing called later may come before it
    };
    struct Frame {
        std::size_t op = 0;
        State before;
        Cursor cursor;
    };

    std::optional<std::size_t> candidate(Cursor* cursor) const;
    static void advance(Cursor* cursor, const std::vector<Event>& events);
    void take_out(std::size_t op);
    void put_back(std::size_t op);
    bool is_new(const State& s);

    std::vector<Op> ops_;
    std::uint64_t max_steps_;
    std::vector<Event> events_;                                // [0] is the list's head
    std::vector<std::pair<std::size_t, std::size_t>> places_;  // of an operation's call and return
    std::vector<std::size_t> open_;  // operations without an answer, by time of call
    std::vector<bool> placed_;
    std::size_t missing_ = 0;             // answered ones without a place
    std::multiset<std::int64_t> latest_;  // theirs: the past may not grow beyond the lowest
    // The set of placed operations as a 128-bit hash that changes with each: two sets that have the
    // same hash are taken for one.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> marks_;
    std::pair<std::uint64_t, std::uint64_t> set_{0, 0};
    struct SeenHash {
        std::size_t operator()(const std::pair<std::uint64_t, std::uint64_t>& h) const {
            return h.first;
        }
    };
    std::unordered_set<std::pair<std::uint64_t, std::uint64_t>, SeenHash> seen_;
    std::vector<Frame> path_;
    std::vector<std::size_t> longest_;
    std::uint64_t steps_ = 0;
};

Search::Search(std::vector<Op> ops, std::uint64_t max_steps)
    : ops_(std::move(ops)), max_steps_(max_steps), placed_(ops_.size()) {
    struct Moment {
        std::uint64_t at;
        bool is_return;
        std::size_t op;
    };
    std::vector<Moment> moments;
    base::Random random(1);
    for (std::size_t i = 0; i < ops_.size(); ++i) {
        marks_.emplace_back(random.next(), random.next());
        if (!ops_[i].known()) {
            open_.push_back(i);
            continue;
        }
        ++missing_;
        latest_.insert(ops_[i].latest);
        moments.push_back({ops_[i].invoked, false, i});
        moments.push_back({ops_[i].returned, true, i});
    }
    // What is called at the very moment of a return may be before or after it.
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
        return std::tuple(a.at, a.is_return, a.op) < std::tuple(b.at, b.is_return, b.op);
    });
    std::sort(open_.begin(), open_.end(),
              [this](auto a, auto b) { return ops_[a].invoked < ops_[b].invoked; });
    places_.resize(ops_.size());
    events_.push_back({});
    for (const Moment& m : moments) {
        const std::size_t at = events_.size();
        events_.push_back({m.op, m.is_return, at - 1, 0});
        events_[at - 1].next = at;
        (m.is_return ? places_[m.op].second : places_[m.op].first) = at;
    }
    events_.front().previous = events_.size() - 1;
}

// The operation at the cursor, which is moved to the next one that could come now.
std::optional<std::size_t> Search::candidate(Cursor* c) const {
    if (!c->among_open) {
        if (c->event == 0) return std::nullopt;
        const Event& event = events_[c->event];
        if (!event.is_return) return event.op;
        c->among_open = true;
        c->limit = ops_[event.op].returned;
    }
    // Tried last: most of them never took effect, or nobody saw it.
    for (; c->open < open_.size() && ops_[open_[c->open]].invoked <= c->limit; ++c->open)
        if (!placed_[open_[c->open]]) return open_[c->open];
    return std::nullopt;
}

void Search::advance(Cursor* c, const std::vector<Event>& events) {
    if (c->among_open)
        ++c->open;
    else
        c->event = events[c->event].next;
}

void Search::take_out(std::size_t op) {
    placed_[op] = true;
    set_.first ^= marks_[op].first;
    set_.second ^= marks_[op].second;
    if (!ops_[op].known()) return;
    --missing_;
    latest_.erase(latest_.find(ops_[op].latest));
    for (const std::size_t at : {places_[op].first, places_[op].second}) {
        events_[events_[at].previous].next = events_[at].next;
        events_[events_[at].next].previous = events_[at].previous;
    }
}

void Search::put_back(std::size_t op) {
    placed_[op] = false;
    set_.first ^= marks_[op].first;
    set_.second ^= marks_[op].second;
    if (!ops_[op].known()) return;
    ++missing_;
    latest_.insert(ops_[op].latest);
    for (const std::size_t at : {places_[op].second, places_[op].first}) {
        events_[events_[at].previous].next = at;
        events_[events_[at].next].previous = at;
    }
}

bool Search::is_new(const State& s) {
    base::Random a(static_cast<std::uint64_t>(s.value) * 3 + (s.found ? 1 : 0));
    base::Random b(a.next() ^ static_cast<std::uint64_t>(s.revision));
    base::Random c(b.next() ^ static_cast<std::uint64_t>(s.floor));
    return seen_.emplace(set_.first ^ c.next(), set_.second ^ c.next()).second;
}

Verdict Search::run() {
    State state;
    Cursor cursor{events_.front().next, false, 0, 0};
    while (missing_ > 0) {
        const auto op = candidate(&cursor);
        if (!op) {
            // Whatever comes next does not fit: the last choice was wrong.
            if (path_.size() > longest_.size()) {
                longest_.clear();
                for (const Frame& frame : path_)
                    longest_.push_back(frame.op);
            }
            if (path_.empty()) return Verdict::kNotLinearizable;
            const Frame& last = path_.back();
            state = last.before;
            cursor = last.cursor;
            put_back(last.op);
            path_.pop_back();
            advance(&cursor, events_);
            continue;
        }
        if (++steps_ > max_steps_) return Verdict::kUndecided;
        State after = state;
        if (step(ops_[*op], &after) && (ops_[*op].known() || after != state)) {
            take_out(*op);
            if ((latest_.empty() || after.floor <= *latest_.begin()) && is_new(after)) {
                path_.push_back({*op, state, cursor});
                state = after;
                cursor = {events_.front().next, false, 0, 0};
                continue;
            }
            put_back(*op);
        }
        advance(&cursor, events_);
    }
    return Verdict::kLinearizable;
}

std::string Search::explain() const {
    std::string out = "the longest order found:\n";
    std::vector<bool> in(ops_.size());
    for (const std::size_t op : longest_)
        in[op] = true;
    const std::size_t from = longest_.size() > 20 ? longest_.size() - 20 : 0;
    if (from > 0) out += fmt::format("  ({} before)\n", from);
    for (std::size_t i = from; i < longest_.size(); ++i)
        out += "  " + to_string(*ops_[longest_[i]].from) + "\n";
    out += "after which none of these fits:\n";
    std::uint64_t limit = kNever;
    for (std::size_t i = 0; i < ops_.size(); ++i)
        if (!in[i]) limit = std::min(limit, ops_[i].returned);
    for (std::size_t i = 0; i < ops_.size(); ++i)
        if (!in[i] && ops_[i].invoked <= limit) out += "  " + to_string(*ops_[i].from) + "\n";
    return out;
}

}  // namespace

Outcome check(const std::vector<Operation>& history, const Options& options) {
    std::map<std::string, std::vector<Op>> by_key;
    std::map<std::string, std::unordered_map<std::string, std::int64_t>> numbers;
    for (const Operation& o : history) {
        auto& values = numbers[o.key];
        const auto number = [&values](const std::string& v) {
            return values.emplace(v, static_cast<std::int64_t>(values.size())).first->second;
        };
        Op op;
        op.from = &o;
        op.invoked = o.invoked_us;
        if (o.value) op.value = number(*o.value);
        if (o.seen && o.seen->found) op.seen_value = number(o.seen->value);
        if (o.returned_us) op.returned = *o.returned_us;
        op.latest = latest_before(o);
        // A read without an answer says nothing.
        if (o.kind == Kind::kGet && !op.known()) continue;
        by_key[o.key].push_back(op);
    }
    Outcome out;
    for (auto& [key, ops] : by_key) {
        Search search(std::move(ops), options.max_steps);
        const Verdict verdict = search.run();
        out.steps += search.steps();
        if (verdict == Verdict::kLinearizable) continue;
        // A certain fault counts more than an open question.
        if (out.verdict == Verdict::kUndecided && verdict == Verdict::kUndecided) continue;
        out.verdict = verdict;
        out.key = key;
        out.explanation = search.explain();
        if (verdict == Verdict::kNotLinearizable) return out;
    }
    return out;
}

std::optional<std::string> check_revisions(const std::vector<Operation>& history) {
    struct Moment {
        std::uint64_t at;
        bool is_return;
        const Operation* operation;
    };
    std::vector<Moment> moments;
    for (const Operation& o : history) {
        if (!o.returned_us || o.revision == 0) continue;
        moments.push_back({o.invoked_us, false, &o});
        moments.push_back({*o.returned_us, true, &o});
    }
    std::stable_sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
        return std::pair(a.at, a.is_return) < std::pair(b.at, b.is_return);
    });
    std::map<std::int64_t, const Operation*> written;
    const Operation* newest = nullptr;
    for (const Moment& m : moments) {
        const Operation& o = *m.operation;
        if (m.is_return) {
            if (newest == nullptr || o.revision > newest->revision) newest = &o;
            continue;
        }
        const bool writes = o.kind == Kind::kPut || (o.kind != Kind::kGet && o.succeeded);
        if (newest != nullptr &&
            (writes ? o.revision <= newest->revision : o.revision < newest->revision))
            return fmt::format(
                "{}\nwas called after this had been answered, whose revision is {}:"
                "\n{}",
                to_string(o), writes ? "not lower" : "higher", to_string(*newest));
        if (!writes) continue;
        const auto [it, first] = written.emplace(o.revision, &o);
        const bool same_txn =
            it->second->process == o.process && it->second->invoked_us == o.invoked_us;
        if (!first && !same_txn)
            return fmt::format("two writes have the same revision:\n{}\n{}", to_string(*it->second),
                               to_string(o));
    }
    return std::nullopt;
}

std::string to_string(const Operation& o) {
    static constexpr const char* kNames[] = {"get", "put", "delete", "cas"};
    std::string out = fmt::format("[{} .. {}] process {}: {} {}", o.invoked_us,
                                  o.returned_us ? fmt::to_string(*o.returned_us) : "?", o.process,
                                  kNames[static_cast<int>(o.kind)], o.key);
    if (o.kind == Kind::kCas) out += fmt::format(" if mod revision {}", o.expected);
    if (o.value) out += fmt::format(" = {}", *o.value);
    if (!o.returned_us) return out + " -> unknown";
    out += " ->";
    if (o.kind == Kind::kCas || o.kind == Kind::kDelete) out += o.succeeded ? " yes" : " no";
    if (o.seen)
        out += o.seen->found ? fmt::format(" {} (of {})", o.seen->value, o.seen->mod_revision)
                             : std::string(" nothing");
    if (o.revision != 0) out += fmt::format(" at revision {}", o.revision);
    return out;
}

}  // namespace linearizable

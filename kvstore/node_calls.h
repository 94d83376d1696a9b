#pragma once
// How the parts of Node send a command through the log, or a call on to the leader. For node*.cc
// only. Store loop.

#include "base/check.h"
#include "kvstore/errors.h"
#include "kvstore/node.h"

namespace kvstore {

template <class T>
void Node::propose(Command command, Done<T> done, const Caller& caller) {
    if (!caller.trusted) {
        command.mutable_caller()->set_user(caller.user);
        command.mutable_caller()->set_auth_revision(caller.auth_revision);
    }
    std::string bytes = command.SerializeAsString();
    if (replica_.is_learner()) return done(errors::not_supported_for_learner());
    if (bytes.size() > options_.max_request_bytes) return done(errors::request_too_large());
    if (auto room = take_from_quota(command); !room) return done(room.error());
    ++counters_.proposals_pending;
    auto answer = [this, alive = alive_,
                   d = std::move(done)](base::Result<ApplyResult> applied) mutable {
        if (*alive) --counters_.proposals_pending;
        if (*alive && !applied) ++counters_.proposals_failed;
        if (!applied) return d(applied.error());
        auto* output = dynamic_cast<MachineOutput*>(applied->get());
        CHECK(output != nullptr);
        if (!output->response) return d(output->response.error());
        auto* response = std::get_if<T>(&*output->response);
        CHECK(response != nullptr);
        fill_header(response->mutable_header());
        d(std::move(*response));
    };
    replica_.propose(std::move(bytes), std::move(answer), machine_.takes_long(command));
}

template <class T, class Read>
void Node::read_store(bool aside, Read read, Done<T> done) {
    auto answer = [this, d = std::move(done)](base::Result<T> response) mutable {
        if (!response) return d(response.error());
        fill_header(response->mutable_header());
        d(std::move(response));
    };
    if (!aside) return answer(read(machine_.store()));
    auto response = std::make_shared<std::optional<base::Result<T>>>();
    const auto view = machine_.view();
    machine_.in_background([view, r = std::move(read), response] { *response = r(view->store); },
                           [this, alive = alive_, view, response, a = std::move(answer)]() mutable {
                               if (!*alive) return;
                               machine_.store().add_counters(view->store.counters());
                               a(std::move(**response));
                           });
}

// Passes a call on to the leader, which looks at the caller itself, and reads its answer.
template <class T, class Request>
void ask_leader(const Node::Options& options, const std::optional<Member>& leader, const char* path,
                const Request& request, Done<T> done, const Caller& caller = {}) {
    if (!leader) return done(errors::no_leader());
    if (!options.ask_leader) return done(errors::not_leader());
    options.ask_leader(*leader, path, request.SerializeAsString(), caller.credential,
                       [d = std::move(done)](base::Result<std::string> bytes) mutable {
                           T response;
                           if (!bytes) return d(bytes.error());
                           if (!response.ParseFromString(*bytes))
                               return d(base::internal_error("the leader's answer cannot be read"));
                           d(std::move(response));
                       });
}

}  // namespace kvstore

#include "apiserver/auth/user.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/algorithm/string.hpp>
#include <boost/tokenizer.hpp>

namespace apiserver {

bool User::in_group(std::string_view group) const {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
}

User User::internal(std::string_view component) {
    return {"system:" + std::string(component),
            "",
            {std::string(kMastersGroup), std::string(kAuthenticatedGroup)}};
}

base::Status Authenticator::load_tokens(std::string_view csv) {
    std::vector<std::string> lines;
    boost::split(lines, csv, [](char c) { return c == '\n'; });
    for (std::size_t i = 0; i < lines.size(); ++i) {
        boost::trim(lines[i]);
        if (lines[i].empty() || lines[i][0] == '#') continue;
        std::vector<std::string> columns;
        try {
            boost::tokenizer<boost::escaped_list_separator<char>> tokens(lines[i]);
            columns.assign(tokens.begin(), tokens.end());
        } catch (const boost::escaped_list_error& e) {
            return base::invalid_argument("token file, line " + std::to_string(i + 1) + ": " +
                                          e.what());
        }
        for (auto& c : columns)
            boost::trim(c);
        if (columns.size() < 3 || columns[0].empty() || columns[1].empty())
            return base::invalid_argument("token file, line " + std::to_string(i + 1) +
                                          ": expected token,user,uid[,\"group1,group2\"]");
        User user{columns[1], columns[2], {}};
        if (columns.size() > 3 && !columns[3].empty())
            boost::split(user.groups, columns[3], [](char c) { return c == ','; });
        user.groups.emplace_back(kAuthenticatedGroup);
        tokens_[columns[0]] = std::move(user);
    }
    return {};
}

base::Result<User> Authenticator::authenticate(const net::PeerIdentity* peer,
                                               std::string_view authorization) const {
    if (peer != nullptr && peer->verified && !peer->common_name.empty()) {
        User user{peer->common_name, "", peer->organizations};
        user.groups.emplace_back(kAuthenticatedGroup);
        return user;
    }
    if (!authorization.empty()) {
        constexpr std::string_view kBearer = "bearer ";
        if (authorization.size() > kBearer.size() &&
            boost::iequals(authorization.substr(0, kBearer.size()), kBearer)) {
            const auto token = authorization.substr(kBearer.size());
            // Every token is looked at, in constant time each: the time taken tells nothing of how
            // near a guess is.
            const User* found = nullptr;
            for (const auto& [known, user] : tokens_)
                if (known.size() == token.size() &&
                    CRYPTO_memcmp(known.data(), token.data(), token.size()) == 0)
                    found = &user;
            if (found != nullptr) return *found;
        }
        return base::Error(base::Code::kUnauthenticated, "Unauthorized");
    }
    if (!allow_anonymous) return base::Error(base::Code::kUnauthenticated, "Unauthorized");
    return User{"system:anonymous", "", {std::string(kUnauthenticatedGroup)}};
}

}  // namespace apiserver

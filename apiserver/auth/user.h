#pragma once
// Who a request comes from, and how that is found out: a client certificate (CN is the user, O the
// groups) or a static bearer token. Pure but for reading the token file.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace apiserver {

struct User {
    std::string name;
    std::string uid;
    std::vector<std::string> groups;

    bool in_group(std::string_view group) const;
    // What the parts of this process act as: system:<component>, in system:masters.
    static User internal(std::string_view component);
};

inline constexpr std::string_view kMastersGroup = "system:masters";
inline constexpr std::string_view kAuthenticatedGroup = "system:authenticated";
inline constexpr std::string_view kUnauthenticatedGroup = "system:unauthenticated";

class Authenticator {
  public:
    // Lines of `token,user,uid[,"group1,group2"]`, as kube-apiserver's --token-auth-file.
    // InvalidArgument names the line.
    base::Status load_tokens(std::string_view csv);
    // Nobody known and nothing shown: system:anonymous. Unauthenticated for a token that is not
    // known.
    bool allow_anonymous = true;

    base::Result<User> authenticate(const net::PeerIdentity* peer,
                                    std::string_view authorization) const;

  private:
    std::map<std::string, User, std::less<>> tokens_;
};

}  // namespace apiserver

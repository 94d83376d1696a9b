#pragma once
// What a server or a client is told about TLS. Certificates come as files, which are read again
// when they change on disk (new connections then get the new ones), or as PEM text. TLS 1.2 and
// 1.3 only.

#include <memory>
#include <string>

#include "base/result.h"
#include "net/http.h"

namespace net {

// PEM from a file or from memory; `pem` wins when both are set.
struct PemSource {
    std::string file;
    std::string pem;

    bool empty() const { return file.empty() && pem.empty(); }
    static PemSource from_file(std::string path) { return {std::move(path), {}}; }
    static PemSource from_text(std::string text) { return {{}, std::move(text)}; }
};

enum class ClientAuth {
    kNone,     // no certificate asked for
    kRequest,  // asked for; one that does not verify ends the handshake, none is fine
    kRequire,  // no handshake without one that verifies
};

struct ServerTls {
    PemSource certificate;  // the leaf first, then intermediates
    PemSource key;
    PemSource client_ca;  // may hold several; needed unless client_auth is kNone
    ClientAuth client_auth = ClientAuth::kNone;
};

struct ClientTls {
    PemSource ca;           // empty: the system's trust store
    PemSource certificate;  // empty: none is shown
    PemSource key;
    std::string server_name;   // checked against the certificate and sent as SNI; "" → the host
    bool skip_verify = false;  // trusts any server: tests and explicit user wish only
};

}  // namespace net

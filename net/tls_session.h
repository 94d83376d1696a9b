#pragma once
// TLS without sockets: OpenSSL driven over bytes that somebody else moves. TlsContext holds what a
// server's or client's connections share (certificates, trust, ALPN); TlsSession is one
// connection. One thread at a time.

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/tls.h"

namespace net {

// "`what`: <OpenSSL's oldest queued reason>"; empties OpenSSL's queue.
base::Error tls_error(std::string_view what);
// Subject and alternative names. `verified` stays false.
PeerIdentity identity_of(X509* certificate);

class TlsContext {
  public:
    // InvalidArgument or NotFound, naming the file, for PEM that cannot be read or does not fit.
    static base::Result<std::shared_ptr<TlsContext>> for_server(ServerTls options);
    // `alpn`: what to offer, in order: "h2", "http/1.1".
    static base::Result<std::shared_ptr<TlsContext>> for_client(ClientTls options,
                                                                std::vector<std::string> alpn);
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    // Reads the files again when one has changed since; the old ones stay when the new ones are
    // bad (logged). Blocks for a few stat() calls.
    void reload_if_changed();

    SSL_CTX* native() const { return context_; }
    bool server() const { return server_; }
    const ClientTls& client_options() const { return client_tls_; }

  private:
    TlsContext() = default;
    base::Status load();
    std::string stamp() const;

    SSL_CTX* context_ = nullptr;
    bool server_ = false;
    ServerTls server_tls_;
    ClientTls client_tls_;
    std::string alpn_wire_;
    std::string stamp_;
};

class TlsSession {
  public:
    // `host`: for clients, the name or IP address that the server's certificate must carry.
    TlsSession(std::shared_ptr<TlsContext> context, const std::string& host);
    ~TlsSession();
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    // Takes bytes from the peer (none at first, to begin a client's handshake): appends to `plain`
    // what they carry and to `wire` what must be sent back. An error is fatal; send `wire` (an
    // alert) first.
    base::Status feed(std::string_view bytes, std::string* plain, std::string* wire);
    // Encrypts. Only once open().
    base::Status write(std::string_view plain, std::string* wire);
    // Appends the close_notify alert.
    void shutdown(std::string* wire);

    bool open() const { return open_; }
    bool peer_closed() const { return peer_closed_; }
    // "h2", "http/1.1" or "". Once open().
    std::string alpn() const;
    // Null without a certificate. Once open().
    std::shared_ptr<const PeerIdentity> peer() const;

  private:
    static int bio_read(BIO* bio, char* out, int n);
    static int bio_write(BIO* bio, const char* data, int n);
    static long bio_control(BIO* bio, int command, long number, void* pointer);
    static BIO_METHOD* bio_method();

    std::shared_ptr<TlsContext> context_;
    SSL* ssl_ = nullptr;
    std::string_view in_;
    std::string* out_ = nullptr;
    bool open_ = false;
    bool peer_closed_ = false;
};

}  // namespace net
